import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { silentLog } from '#base/log'
import { makeKey, openTestServer } from './fixture.ts'

test('strangers do not fill the log, at neither port', async () => {
  const events = new Map<string, number>()
  const say = (event: string) => void events.set(event, (events.get(event) ?? 0) + 1)
  const log = { ...silentLog, info: say, warn: say, error: say, with: () => log }
  await using server = await openTestServer({ log })
  for (let count = 0; count < 30; count++) {
    const socket = connect({ port: server.node.port, host: '127.0.0.1' }).on('error', () => {})
    socket.resume().end('GET / HTTP/1.1\r\n\r\n')
    await once(socket, 'close')
    await assert.rejects(server.recover('spiffe://example.org/riptides/daemon/none', makeKey()))
    await assert.rejects(server.join('no token'))
  }
  assert.deepEqual(Object.fromEntries(events), {
    'node.handshake.failed': 10,
    'node.call.refused': 10,
    'daemon.join.refused': 10,
  })
})
