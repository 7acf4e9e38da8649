import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventKey } from './change-feed.ts'
import { followEntries } from './follow.ts'
import { openMemoryStore } from './memory-store.ts'

test('gives what there is, what changes, and all anew when changes were missed', async () => {
  await using store = openMemoryStore()
  const put = (key: string) => ({ type: 'put', key, value: Buffer.from('x') }) as const
  await store.transaction([], [put('/a/1'), put('/b/1')])
  const stop = new AbortController()
  const steps = [
    () => store.transaction([], [put('/a/2')]),
    () => store.replaceAll([put('/a/3'), put('/b/3')], { aboveRevision: 0 }),
    () => store.transaction([], [put('/b/4'), { type: 'delete', key: '/a/3' }]),
    async () => stop.abort(),
  ]
  const seen: [boolean, string[]][] = []
  for await (const { all, events } of followEntries(store, '/a/', { signal: stop.signal })) {
    seen.push([all, events.map((event) => event.type + eventKey(event))])
    await steps.shift()!()
  }
  assert.deepEqual(seen, [
    [true, ['put/a/1']],
    [false, ['put/a/2']],
    [true, ['put/a/3']],
    [false, ['delete/a/3']],
  ])
})
