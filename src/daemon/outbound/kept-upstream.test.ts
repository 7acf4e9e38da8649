import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { host, listenTls, memoryAudit, openBed, scopeOf, serverIdentity, type Bed } from './fixture.ts'
import type { Link } from './link.ts'
import { answering, openClient, readRequestHead, request, response, serve } from './talk.ts'

async function openPath(bed: Bed, talk: (link: Link) => Promise<void>) {
  const upstream = await listenTls(serverIdentity(host, { authority: bed.upstreamCa }), serve(talk))
  bed.plane.apply(scopeOf(upstream.port))
  const proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
  return {
    client: () => openClient(bed, proxy),
    [Symbol.asyncDispose]: () => upstream[Symbol.asyncDispose](),
  }
}

test('a kept connection that upstream closes before a request leaves is replaced, whatever the method', async () => {
  const audit = memoryAudit()
  let isUpstreamLeaving = false
  const leaveWhileRecorded = {
    ...audit,
    async start(...record: Parameters<typeof audit.start>) {
      await audit.start(...record)
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

test('what upstream says on a kept connection before a request leaves is no answer to that', async () => {
  const audit = memoryAudit()
  const late = response('for somebody else', 'HTTP/1.1 408 Request Timeout')
  const speakWhileRecorded = {
    ...audit,
    async start(...record: Parameters<typeof audit.start>) {
      await audit.start(...record)
      if (audit.starts.length !== 2) return
      const kept = upstream.sockets.at(-1)!
      kept.setNoDelay()
      await new Promise((resolve) => kept.write(late, resolve))
      for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve))
    },
  }
  await using bed = openBed({ audit: speakWhileRecorded })
  await using upstream = await listenTls(
    serverIdentity(host, { authority: bed.upstreamCa }),
    answering(({ head }) => response(head.target)),
  )
  bed.plane.apply(scopeOf(upstream.port))
  using client = await openClient(bed, await bed.listen({ address: '127.0.0.1', port: upstream.port }))
  assert.equal((await client.send(request('GET /first')))?.body.toString(), '/first')
  const second = await client.send(request('POST /second', ['Content-Length: 5'], 'again'))
  assert.equal(second?.body.toString(), '/second')
  assert.equal(upstream.sockets.length, 2)
  assert.equal(bed.audit.starts.length, 3)
  assert.equal(bed.audit.ends[1]?.reason, 'upstream spoke before it was asked')
})

test('a kept connection that upstream closed is replaced for what may be repeated, and only for that', async () => {
  await using bed = openBed()
  let connections = 0
  await using path = await openPath(bed, async (link) => {
    connections += 1
    const keeps = connections > 2
    for (let head = await readRequestHead(link); head; head = await readRequestHead(link)) {
      void link.write(Buffer.from(response()))
      if (keeps) continue
      // Closes in the moment in which the next request arrives.
      await link.fill()
      return link.destroy()
    }
  })
  using client = await path.client()
  assert.equal((await client.send(request('GET /')))?.head.status, 200)
  assert.equal((await client.send(request('GET /')))?.head.status, 200)
  const lines = ['Content-Length: 0']
  assert.equal((await client.send(request('POST /', lines)))?.head.status, 502)
  assert.equal(bed.audit.starts.length, 4, 'what was repeated has a record for each time')
  assert.equal(connections, 2)
})

test('a request that upstream may have looked at is not repeated, nor one whose body is gone', async () => {
  await using bed = openBed()
  let sent = 0
  await using path = await openPath(bed, async (link) => {
    for (let head = await readRequestHead(link); head; head = await readRequestHead(link)) {
      sent += 1
      if (head.target !== '/answered') return link.destroy()
      void link.write(Buffer.from(response()))
    }
  })
  const unsigned = ['X-Amz-Content-Sha256: UNSIGNED-PAYLOAD', 'Content-Length: 4']
  for (const [prepared, last] of [
    [false, request('GET /first')],
    [true, request('POST /kept', ['Content-Length: 0'])],
    [true, request('PUT /streamed', unsigned, 'body')],
  ] as const) {
    using client = await path.client()
    if (prepared) assert.equal((await client.send(request('GET /answered')))?.head.status, 200)
    const before = sent
    assert.equal((await client.send(last))?.head.status, 502)
    assert.equal(sent, before + 1, last.toString())
  }
})
