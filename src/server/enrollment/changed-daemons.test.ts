import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Code, ConnectError } from '@connectrpc/connect'
import { defaultNamespace } from '#model/resource'
import { openTestServer } from './fixture.ts'

type Server = Awaited<ReturnType<typeof openTestServer>>

/** Kinds of what a daemon is sent, from now on until its stream ends. */
function openStream(server: Server, daemon: Awaited<ReturnType<Server['joined']>>) {
  async function* reports() {
    yield { body: { case: 'hello', value: { version: '0.1.0', captureLevel: 'user' } } } as const
    await new Promise(() => {})
  }
  const messages = server.connectAs(daemon).sync(reports())[Symbol.asyncIterator]()
  return async () => {
    const { value, done } = await messages.next()
    return done ? undefined : value.body.case
  }
}

async function endsWhenLookedAt(server: Server, next: () => Promise<unknown>): Promise<void> {
  const stop = new AbortController()
  const running = server.node.run({ signal: stop.signal })
  // A stream that goes on has a lease by then.
  const lease = setTimeout(() => void server.clock.advance(3_000), 2_000).unref()
  const isReplaced = (error: unknown) => error instanceof ConnectError && error.code === Code.Aborted
  await assert.rejects(next(), isReplaced)
  clearTimeout(lease)
  stop.abort()
  await running
}

test('the stream of a daemon whose groups changed while nobody watched begins anew', async () => {
  await using server = await openTestServer({ run: false })
  const daemon = await server.joined({ daemonGroups: ['g/old'] })
  const next = openStream(server, daemon)
  assert.deepEqual([await next(), await next()], ['lease', 'update'])
  await server.resources.patch('Daemon', defaultNamespace, daemon.name, {
    type: 'merge',
    document: { spec: { daemonGroups: ['g/new'] } },
  })
  await endsWhenLookedAt(server, next)
})

test('so does that of one that was deleted meanwhile, and whose ID another has by now', async () => {
  await using server = await openTestServer({ run: false })
  const daemon = await server.joined({ workloadID: 'nodes/a' })
  const next = openStream(server, daemon)
  assert.deepEqual([await next(), await next()], ['lease', 'update'])
  await server.resources.delete('Daemon', defaultNamespace, daemon.name)
  while (true) {
    // The token is refused until the cache knows of the deletion.
    const again = await server.joined({ workloadID: 'nodes/a' }).catch(() => undefined)
    if (again) break
  }
  await endsWhenLookedAt(server, next)
})
