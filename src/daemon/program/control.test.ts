import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { silentLog } from '#base/log'
import { callDaemon } from '#daemon/run'
import { boundConnections, openControl, type Caller } from './control.ts'

function socketPath(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'tideway-control-'))
  t.after(() => rmSync(folder, { recursive: true }))
  return join(folder, 'daemon.sock')
}

async function open(t: TestContext, path: string): Promise<Socket> {
  const socket = connect(path)
  t.after(() => socket.destroy())
  socket.on('error', () => {}).resume()
  await once(socket, 'connect')
  return socket
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

test('who holds connections leaves room for other users, and none takes that of root', async (t) => {
  const path = socketPath(t)
  let caller: Caller = { uid: 1000, pid: 1, trusted: false }
  const seen = { accepted: 0 }
  const server = createServer()
  server.on('connection', () => (seen.accepted += 1))
  boundConnections(server, () => caller)
  server.listen(path)
  await once(server, 'listening')
  t.after(() => server.close())
  const openAs = async (who: Caller): Promise<Socket> => {
    caller = who
    const before = seen.accepted
    const socket = await open(t, path)
    while (seen.accepted === before) await turn()
    for (let turns = 0; turns < 20; turns += 1) await turn()
    return socket
  }
  const flood: Socket[] = []
  for (let count = 0; count < 70; count += 1) flood.push(await openAs(caller))
  assert.equal(flood.filter(({ closed }) => closed).length, 6)
  assert.equal((await openAs({ uid: 2000, pid: 1, trusted: false })).closed, false)
  for (let uid = 3000; uid < 3004; uid += 1) {
    for (let count = 0; count < 64; count += 1) await openAs({ uid, pid: 1, trusted: false })
  }
  assert.equal((await openAs({ uid: 4000, pid: 1, trusted: false })).closed, true, 'all room is taken')
  assert.equal((await openAs({ uid: 0, pid: 1, trusted: true })).closed, false)
  flood[0]!.destroy()
  for (let turns = 0; turns < 100; turns += 1) await turn()
  assert.equal((await openAs({ uid: 1000, pid: 1, trusted: false })).closed, false, 'who leaves makes room')
})

test('a connection that asks nothing is ended, and calls are answered', { timeout: 30_000 }, async (t) => {
  const path = socketPath(t)
  await using _control = await openControl({
    path,
    everyone: true,
    routes: [{ method: 'GET', path: '/x', everyone: true, answer: async () => ({ uid: process.getuid!() }) }],
    log: silentLog,
  })
  const idle = await open(t, path)
  const calls = Array.from({ length: 100 }, () => callDaemon(path, 'GET', '/x'))
  assert.deepEqual(
    await Promise.all(calls),
    Array.from(calls, () => ({ uid: process.getuid!() })),
  )
  await once(idle, 'close')
})
