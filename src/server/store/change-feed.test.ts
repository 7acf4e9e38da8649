import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openChangeFeed, revisionGone, type ChangeFeed } from './change-feed.ts'
import type { StoreEvent } from './ports.ts'

const { signal } = new AbortController()

function openFeed(keep: number, value: Buffer) {
  const asked: number[] = []
  const feed = openChangeFeed({
    revision: 0,
    keep,
    older(_, afterRevision) {
      asked.push(afterRevision)
      return Promise.reject(revisionGone(afterRevision))
    },
  })
  const append = (revision: number) => {
    const entry = { key: `/${revision}`, value, modRevision: revision, createRevision: revision }
    feed.append(revision, [{ type: 'put', entry }])
  }
  return { feed, append, asked }
}

/** What a watch is given at a time. */
async function batchesOf(feed: ChangeFeed, afterRevision: number): Promise<(readonly StoreEvent[])[]> {
  return await Array.fromAsync(feed.watch('/', { afterRevision, untilRevision: feed.revision, signal }))
}

test('a watch that is read slowly is given a part at a time, in order, with nothing missing', async () => {
  const { feed, append } = openFeed(500, Buffer.from('x'))
  for (let revision = 1; revision <= 900; revision++) append(revision)
  const batches = await batchesOf(feed, 0)
  assert.ok(batches.every((events) => events.length <= 100))
  assert.deepEqual(
    batches.flat().map((event) => event.type === 'put' && event.entry.modRevision),
    Array.from({ length: 900 }, (_, index) => index + 1),
  )
})

test('large values are kept for fewer revisions: who is further back asks the log', async () => {
  // The same bytes each time, so that the test itself needs none.
  const { feed, append, asked } = openFeed(500, Buffer.alloc(1024 * 1024))
  for (let revision = 1; revision <= 200; revision++) append(revision)
  assert.equal((await batchesOf(feed, 170)).flat().length, 30)
  await assert.rejects(batchesOf(feed, 100), { code: 'STORE_REVISION_GONE' })
  assert.deepEqual(asked, [100])
})
