import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Agent, request } from 'node:https'
import { text } from 'node:stream/consumers'
import type { IncomingMessage } from 'node:http'
import { test } from 'node:test'
import { fastify } from 'fastify'
import { answerBeforeClosing } from './closing.ts'
import { openTestServer } from './test-server.ts'

test('what was asked before the server stops is answered, and its connection takes no more', async (t) => {
  const begun = Promise.withResolvers<void>()
  const end = Promise.withResolvers<void>()
  await using server = await openTestServer({
    plugins: [
      async (app) => {
        app.get('/slow', { config: { public: true } }, async () => {
          begun.resolve()
          await end.promise
          return 'done'
        })
      },
    ],
  })
  const agent = new Agent({ keepAlive: true, ca: server.ca })
  t.after(() => agent.destroy())
  const asked = once(request(`${server.url}/slow`, { agent }).end(), 'response')
  await begun.promise
  const watch = request(`${server.url}/apis/core.riptides.io/v1alpha1/services?watch=true`, {
    ca: server.ca,
    agent: false,
    headers: { authorization: `Bearer ${server.token}` },
  })
  const [watched] = (await once(watch.end(), 'response')) as [IncomingMessage]
  const closed = server.api[Symbol.asyncDispose]()
  assert.equal(await text(watched), '', 'a watch is not waited for')
  await assert.rejects(once(request(server.url, { ca: server.ca, agent: false }).end(), 'response'), {
    code: 'ECONNREFUSED',
  })
  end.resolve()
  const [answer] = (await asked) as [IncomingMessage]
  assert.equal(await text(answer), 'done')
  assert.equal(answer.headers.connection, 'close')
  await closed
})

test('who never ends is not waited for', async () => {
  const app = fastify({ forceCloseConnections: true })
  answerBeforeClosing(app, 50)
  const begun = Promise.withResolvers<void>()
  app.get('/', async () => {
    begun.resolve()
    await new Promise(() => {})
  })
  const asked = assert.rejects(fetch(await app.listen({ host: '127.0.0.1', port: 0 })))
  await begun.promise
  await app.close()
  await asked
})
