import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { emptyScope } from '#model/scope'
import { guideResources, openFakeDaemon, openTestBed } from './fixture.ts'

const workloadId = 'riptides/daemon/one'
const elsewhere = '127.0.0.2'

/** Connections from another address; `begin` does with each what it does, and no more. */
async function flood(
  context: TestContext,
  { host, port, count }: { host: string; port: number; count: number },
  begin: (socket: Socket) => Promise<unknown> = async () => {},
): Promise<{ closed: () => number }> {
  let closed = 0
  const open = async () => {
    const socket = connect({ host, port, localAddress: elsewhere })
    context.after(() => socket.destroy())
    socket.on('error', () => {}).on('close', () => closed++)
    await once(socket, 'connect')
    await begin(socket)
  }
  for (let left = count; left > 0; left -= 100) {
    await Promise.all(Array.from({ length: Math.min(left, 100) }, open))
  }
  return { closed: () => closed }
}

const oneByte = async (socket: Socket) => socket.write('\x16')
const handshake = (socket: Socket) => once(connectTls({ socket, rejectUnauthorized: false }), 'secureConnect')

test('whoever floods the ports with connections has his own closed and waiting, and nobody else', async (context) => {
  const bed = await openTestBed(context)
  const server = await bed.start()
  const daemon = await openFakeDaemon(server, bed.access!, { workloadId })
  const api = { host: '127.0.0.1', port: Number(new URL(server.ready.url).port) }
  const node = { host: '127.0.0.1', port: Number(server.ready.nodeEndpoint.split(':')[1]) }

  const finished = await flood(context, { ...api, count: 50 }, handshake)
  const begun = await flood(context, { ...api, count: 200 }, oneByte)
  const silent = await flood(context, { ...api, count: 1_000 })
  await flood(context, { ...node, count: 200 })
  await flood(context, { ...node, count: 100 }, oneByte)

  const late = await openFakeDaemon(server, bed.access!, { workloadId: 'riptides/daemon/late' })
  await late.until((scope) => scope !== emptyScope)
  await server.apply(guideResources(bed.sts, workloadId))
  await server.until('credentialbindings', 'binding', ({ status }) => status?.state === 'OK')
  assert.ok(finished.closed() + begun.closed() + silent.closed() >= 250)
  await Promise.all([daemon.close(), late.close()])
})
