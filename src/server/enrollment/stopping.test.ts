import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { openTestServer } from './fixture.ts'

test('a server that stops cuts handshakes that are under way: none goes on, and none is waited for', async () => {
  await using server = await openTestServer()
  const socket = connect({ port: server.node.port, host: '127.0.0.1' }).on('error', () => {})
  const closed = once(socket.resume(), 'close')
  // A record has begun, and does not end.
  socket.write('\x16')
  const client = server.connectAs(await server.joined())
  await client.shipAudit({ recordsJsonl: Buffer.alloc(0) })
  const began = performance.now()
  await server.node[Symbol.asyncDispose]()
  await closed
  assert.ok(performance.now() - began < 5_000)
})
