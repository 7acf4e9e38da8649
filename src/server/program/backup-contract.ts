import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fastify } from 'fastify'
import { openTestClock } from '#base/clock'
import { openBackupReader } from '#model/backup'
import type { Store } from '#server/store'
import { backupRoute } from './backup-route.ts'

const backups = 5
// More than is read at a time, between the two.
const fillers = 500
const first = '/a'
const last = '/z'

/** That a backup holds one moment, whatever is written while it is made. */
export function testBackups(name: string, open: () => Promise<Store>): void {
  test(`${name}: two entries that are always written together are of one moment in every backup`, async (t) => {
    await using store = await open()
    const put = (key: string, text: string) => ({ type: 'put', key, value: Buffer.from(text) }) as const
    const names = Array.from({ length: fillers }, (_, index) => `/f/${index}`)
    await store.transaction(
      [],
      names.map((key) => put(key, 'x')),
    )
    const app = fastify()
    t.after(() => app.close())
    app.decorateRequest('principal', { getter: () => ({ name: 'test', groups: [], provider: 'test' }) })
    await app.register(backupRoute(store, { audit: { change: async () => {} }, clock: openTestClock() }))

    const stop = new AbortController()
    let written = 0
    const writing = (async () => {
      while (!stop.signal.aborted) {
        const text = String(++written)
        // Of the rest one entry comes and another goes with each, so that the number of them stays the same.
        await store.transaction(
          [],
          [
            put(first, text),
            put(last, text),
            put(`/f/new-${written}`, text),
            { type: 'delete', key: written === 1 ? names[0]! : `/f/new-${written - 1}` },
          ],
        )
      }
    })()
    const seen = new Set<string>()
    for (let round = 0; round < backups; round++) {
      const before = written
      const { payload } = await app.inject('/backup')
      const reader = openBackupReader()
      const entries = new Map(
        payload
          .split('\n')
          .slice(0, -1)
          .flatMap((line) => {
            const entry = reader.push(line)
            return entry ? [[entry.key, Buffer.from(entry.value).toString()] as const] : []
          }),
      )
      reader.end()
      assert.equal(entries.get(first), entries.get(last))
      assert.ok(Number(entries.get(first) ?? 0) >= before - 1, 'what was answered is in it')
      if (entries.has(first)) assert.equal(entries.size, fillers + 2)
      seen.add(entries.get(first) ?? '')
    }
    stop.abort()
    await writing
    assert.ok(seen.size > 1, 'something was written between the backups')
  })
}
