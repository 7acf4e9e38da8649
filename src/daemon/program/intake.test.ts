import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import type { ProcessPin } from '#model/identity'
import { openIntake } from './intake.ts'

/** The explicit proxy's side of real connections, whose owners are as `uids` says by the client's address. */
async function openProxy(
  uids: Readonly<Record<string, number>>,
  { findOwner = async ({ uid }: { uid: number }) => ({ pid: 1, uid }) as ProcessPin | undefined } = {},
) {
  const clock = openTestClock()
  const stack = new AsyncDisposableStack()
  const accepted: string[] = []
  const intake = openIntake({
    accept: (socket, { destination }) => {
      accepted.push(destination.host ?? destination.address ?? '')
      socket.destroy()
    },
    uidOf: async ({ client }) => uids[client.address],
    findOwner,
    onlyUid: undefined,
    overriddenHosts: [],
    clock,
  })
  const taken: Promise<void>[] = []
  const server = createServer({ pauseOnConnect: true }, (socket) => taken.push(intake.proxied(socket)))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  stack.defer(() => void server.close())
  const { port } = server.address() as AddressInfo
  const open = async (localAddress = '127.0.0.1'): Promise<Socket> => {
    const socket = connect({ port, host: '127.0.0.1', localAddress })
    stack.defer(() => void socket.destroy())
    socket.on('error', () => {}).resume()
    await once(socket, 'connect')
    return socket
  }
  return { clock, accepted, open, taken, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

const untilTaken = async (taken: readonly unknown[], count: number): Promise<void> => {
  while (taken.length < count) await new Promise((resolve) => setImmediate(resolve))
}
const tunnel = 'CONNECT s3.example.org:443 HTTP/1.1\r\nHost: s3.example.org:443\r\n\r\n'

test('a client that says a little now and then is turned away after ten seconds all the same', async () => {
  await using proxy = await openProxy({ '127.0.0.1': 1000 })
  const client = await proxy.open()
  await untilTaken(proxy.taken, 1)
  await proxy.clock.untilArmed()
  for (let second = 0; second < 9; second += 1) {
    client.write(tunnel[second]!)
    await proxy.clock.advance(1000)
    assert.equal(client.closed, false)
  }
  await proxy.clock.advance(1000)
  await Promise.all(proxy.taken)
  if (!client.closed) await once(client, 'close')
  assert.deepEqual(proxy.accepted, [])
})

test('one user who opens many connections and says nothing leaves room for the others', async () => {
  await using proxy = await openProxy({ '127.0.0.1': 1000, '127.0.0.2': 2000 })
  const flood: Socket[] = []
  for (let count = 0; count < 300; count += 1) flood.push(await proxy.open())
  await untilTaken(proxy.taken, 300)
  const closed = () => flood.filter((socket) => socket.closed).length
  while (closed() < 44) await new Promise((resolve) => setImmediate(resolve))
  assert.equal(closed(), 44)
  const other = await proxy.open('127.0.0.2')
  other.write(tunnel)
  await once(other, 'close')
  assert.deepEqual(proxy.accepted, ['s3.example.org'])
  // Who is done, or gives up, makes room for his own next one.
  flood[0]!.destroy()
  await proxy.taken[0]
  const next = await proxy.open()
  next.write(tunnel)
  await once(next, 'close')
  assert.equal(proxy.accepted.length, 2)
})

test('one user whose processes take long to look through leaves room for the others', async () => {
  const never = new Promise<undefined>(() => {})
  let asked = 0
  await using proxy = await openProxy(
    { '127.0.0.1': 1000, '127.0.0.2': 2000 },
    {
      async findOwner({ uid }) {
        if (uid === 2000) return { pid: 1, uid } as ProcessPin
        asked += 1
        return await never
      },
    },
  )
  const flood: Socket[] = []
  for (let count = 0; count < 300; count += 1) flood.push(await proxy.open())
  while (flood.filter((socket) => socket.closed).length < 44)
    await new Promise((resolve) => setImmediate(resolve))
  assert.equal(asked, 256)
  const other = await proxy.open('127.0.0.2')
  other.write(tunnel)
  await once(other, 'close')
  assert.deepEqual(proxy.accepted, ['s3.example.org'])
})

test('a process that cannot be found is told so once it has asked', async () => {
  await using proxy = await openProxy({})
  const client = await proxy.open()
  let answer = ''
  client.on('data', (chunk: Buffer) => (answer += chunk.toString()))
  client.write(tunnel)
  await once(client, 'end')
  assert.match(answer, /^HTTP\/1\.1 403 .*cannot be attested/s)
})
