import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { host, listenTls, memoryAudit, openBed, scopeOf, serverIdentity } from './fixture.ts'
import { answering, openClient, request, response } from './talk.ts'

test('a kept connection that upstream closes before a request leaves is replaced, whatever the method', async () => {
  const audit = memoryAudit()
  let isUpstreamLeaving = false
  const leaveWhileRecorded = {
    ...audit,
    async start(record: Parameters<typeof audit.start>[0]) {
      await audit.start(record)
      if (!isUpstreamLeaving) return
      isUpstreamLeaving = false
      const kept = upstream.sockets.at(-1)!
      kept.destroy()
      await once(kept, 'close')
      // Both ends are in this process: what one has closed the other reads within a few turns.
      for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve))
    },
  }
  await using bed = openBed({ audit: leaveWhileRecorded })
  const bodies: string[] = []
  await using upstream = await listenTls(
    serverIdentity(host, { authority: bed.upstreamCa }),
    answering(({ body }) => {
      bodies.push(body.toString())
      return response()
    }),
  )
  bed.plane.apply(scopeOf(upstream.port))
  using client = await openClient(bed, await bed.listen({ address: '127.0.0.1', port: upstream.port }))
  assert.equal((await client.send(request('GET /')))?.head.status, 200)
  for (const lines of [[], ['X-Amz-Content-Sha256: UNSIGNED-PAYLOAD']]) {
    isUpstreamLeaving = true
    const answer = await client.send(request('POST /key', ['Content-Length: 5', ...lines], 'again'))
    assert.equal(answer?.head.status, 200)
  }
  assert.deepEqual(bodies, ['', 'again', 'again'])
  assert.equal(upstream.sockets.length, 3)
  // Two were recorded, then not sent, and recorded anew.
  assert.equal(bed.audit.starts.length, 3 + 2)
})
