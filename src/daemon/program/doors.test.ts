import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { test } from 'node:test'
import { openDoor } from './doors.ts'

test('a place where somebody else listens is said in a sentence', async () => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo
  await assert.rejects(openDoor({ handOver() {} }, 'proxy', { host: '127.0.0.1', port }), {
    code: 'SETTING_INVALID',
    message: `the proxy cannot listen on 127.0.0.1:${port}: listen EADDRINUSE: address already in use 127.0.0.1:${port}`,
  })
  other.close()
})

test('a run folder whose sockets would have too long a path is said, with what to do', async () => {
  const path = `/tmp/${'long/'.repeat(21)}connect.sock`
  await assert.rejects(openDoor({ handOver() {} }, 'relay', { path, everyone: false }), {
    code: 'SETTING_INVALID',
    hint: 'the path of a socket has 107 bytes at most: name a shorter --run-dir',
  })
})
