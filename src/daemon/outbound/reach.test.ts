import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Condition } from './conditions.ts'
import { host, listenTls, openBed, scopeOf, serverIdentity } from './fixture.ts'
import { answering, openClient, request, response } from './talk.ts'

test('what is wrong with an upstream takes turns: not there, a wrong certificate, well', async () => {
  const conditions: Condition[] = []
  await using bed = openBed({ onCondition: (condition) => conditions.push(condition) })
  const serve = (identity: { key: string; cert: string }) =>
    listenTls(
      identity,
      answering(() => response()),
    )
  await using wrong = await serve(serverIdentity('evil.example', { authority: bed.upstreamCa }))
  await using right = await serve(serverIdentity(host, { authority: bed.upstreamCa }))
  const closed = await serve(serverIdentity(host))
  await closed[Symbol.asyncDispose]()

  async function said({ port }: { port: number }): Promise<string[]> {
    conditions.length = 0
    bed.plane.apply(scopeOf(port))
    const proxy = await bed.listen({ address: '127.0.0.1', port })
    using client = await openClient(bed, proxy)
    await client.send(request('GET /'))
    return conditions
      .filter(({ subject }) => subject.startsWith('service/'))
      .map(({ type, status }) => `${type}=${status}`)
      .toSorted()
  }
  assert.deepEqual(await said(closed), ['UpstreamReachable=False'])
  assert.deepEqual(await said(wrong), ['UpstreamReachable=True', 'UpstreamVerified=False'])
  assert.deepEqual(await said(right), ['UpstreamVerified=True'])
})
