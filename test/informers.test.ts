// An informer of the client that people use, through restarts of the server and cuts of its connections.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { test } from 'node:test'
import { CoreV1Api } from '@kubernetes/client-node'
import { openTestBed } from '../src/server/program/fixture.ts'
import { openHistory, secretsIn } from './watches/history.ts'
import { configFor, follow } from './watches/informer.ts'
import { judge, judgeOutcome } from './watches/judgement.ts'

const namespace = 'riptides-system'

/** One address for a server that comes back on another port each time. Connections of an earlier one are cut. */
async function openFront() {
  const sockets = new Set<Socket>()
  let target: string | undefined
  const front = createServer((client) => {
    const upstream = target === undefined ? undefined : connect(Number(new URL(target).port), '127.0.0.1')
    if (!upstream) return void client.destroy()
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        other.destroy()
      })
    }
    client.pipe(upstream).pipe(client)
    return undefined
  }).listen(0, '127.0.0.1')
  await once(front, 'listening')
  return {
    port: (front.address() as AddressInfo).port,
    lead(url: string | undefined) {
      target = url
    },
    cut() {
      for (const socket of sockets) socket.destroy()
    },
    async [Symbol.asyncDispose]() {
      this.cut()
      front.close()
      await once(front, 'close')
    },
  }
}

test('an informer sees every change once, through restarts of the server and cuts of its connection', async (t) => {
  const bed = await openTestBed(t)
  await using front = await openFront()
  let server = await bed.start()
  front.lead(server.ready.url)
  const history = openHistory((method, path, body) => server.call(method, path, body), secretsIn(namespace))
  const write = async () => {
    for (let count = 0; count < 12; count++) await history.write()
  }

  const { token, caPem } = bed.access!
  const access = { caPem: caPem!, token: token.revealText() }
  const config = configFor(`https://127.0.0.1:${front.port}`, access)
  const api = config.makeApiClient(CoreV1Api)
  await using follower = await follow(config, history.target.path, () =>
    api.listNamespacedSecret({ namespace }),
  )
  for (let round = 0; round < 4; round++) {
    await write()
    if (round % 2 === 0) front.cut()
    else {
      front.lead(undefined)
      await server.stop()
      server = await bed.start()
      // Written before the informer is back: it has to ask for what it missed.
      await write()
      front.lead(server.ready.url)
    }
  }
  await history.end()
  await follower.ended
  assert.deepEqual(judge(history, follower.seen), [])
})

// Who finds nothing says something only if he would have found it.

const history = (written: readonly string[], kind = 'Secret') => ({ written, target: { kind } })
const written = ['add a 0 5', 'update a 1 6', 'delete a', 'add a 2 9']
const findings: [name: string, seen: readonly string[], finding: RegExp][] = [
  ['that was missed', written.filter((line) => line !== 'update a 1 6'), /was written: update a 1 6/],
  ['that is missing at the end', written.slice(0, 3), /was written: add a 2 9; seen: nothing/],
  ['that was shown twice', [...written, 'update a 2 9'], /update a 2 9: after version 9/],
  ['in another order', ['update a 1 6', 'add a 0 5', ...written.slice(2)], /add a 0 5: after version 6/],
  ['that nobody wrote', [...written, 'update a 2 10'], /was written: nothing; seen: update a 2 10/],
]
for (const [name, seen, finding] of findings) {
  test(`a change ${name} is a finding`, () => assert.match(judge(history(written), seen).join(), finding))
}

test('the states that a server writes are no changes, and who listed again need not know all of them', () => {
  const seen = ['add a 0 5', 'update a 0 6', 'update a 1 7', 'delete a', 'add a 2 9']
  const services = history(['add a 0 5', 'update a 1 7', 'delete a', 'add a 2 9'], 'Service')
  assert.deepEqual(judge(services, seen), [])
  assert.deepEqual(judgeOutcome(services, ['add a 0 5', 'update a 2 9']), [])
  assert.match(judgeOutcome(services, ['add a 0 5', 'delete a'])[0]!, /was written: a 2; seen: nothing/)
})
