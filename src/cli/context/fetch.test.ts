import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { test } from 'node:test'
import { openFetch } from '#cli/context'

test('a server that accepts connections and never answers is given up', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  await using stack = new AsyncDisposableStack()
  const server = createServer((socket) => stack.defer(async () => void socket.destroy()))
  stack.defer(async () => void server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const answer = openFetch({})(`https://127.0.0.1:${(server.address() as AddressInfo).port}/`)
  await once(server, 'connection')
  t.mock.timers.tick(60_000)
  await assert.rejects(answer, /: no answer within 60 seconds$/)
})
