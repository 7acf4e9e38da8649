// A disk without room under the SQLite store: a small file system in memory.
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { silentLog, type Log } from '#base/log'
import { unshare } from '#base/syscall'
import { backupLines } from '#model/backup'
import { openSqliteStore } from '#server/store'
import { openTestClock } from '#base/clock'
import { openStoreCheck } from '../../src/server/program/store-check.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'tideway-full-'))
const put = (key: string, bytes: number) => ({ type: 'put', key, value: Buffer.alloc(bytes, key) }) as const

const tideway = path.resolve(import.meta.dirname, '../../bin/tideway')

/** A backup for which there is no room is not restored at all; once there is, it is. */
function expectRestoredWhole(): void {
  const elsewhere = mkdtempSync(path.join(tmpdir(), 'tideway-backup-'))
  const backup = path.join(elsewhere, 'backup')
  const entries = Array.from({ length: 10 }, (_, index) => ({
    key: `/${index}`,
    value: Buffer.alloc(50_000),
  }))
  const header = { revision: 1, createdAt: '2026-01-01T00:00:00.000Z' }
  writeFileSync(backup, [...backupLines(header, entries)].join(''))
  const data = path.join(folder, 'restored')
  const restore = () => spawnSync(tideway, ['restore', backup, '--data-dir', data], { encoding: 'utf8' })
  const ballast = path.join(folder, 'ballast')
  const { bavail, bsize } = statfsSync(folder)
  writeFileSync(ballast, Buffer.alloc(Math.max(0, bavail * bsize - 300_000)))
  const refused = restore()
  assert.notEqual(refused.status, 0)
  assert.match(refused.stderr, /there is no room left on the disk/)
  rmSync(ballast)
  const { status, stderr } = restore()
  assert.equal(status, 0, stderr)
  assert.match(stderr, /^10 entries/m)
  for (const made of [elsewhere, data]) rmSync(made, { recursive: true })
}

test('a full disk: writes are refused with the reason, reads and watches go on, and so does all once there is room', async (context) => {
  // A mount namespace of this thread's own, and of what it starts: the mount goes with the process.
  unshare('mount')
  execFileSync('mount', ['--make-rprivate', '/'])
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m,mode=0700', 'tideway-test', folder])
  context.after(() => {
    execFileSync('umount', [folder])
    rmSync(folder, { recursive: true })
  })
  expectRestoredWhole()
  const said: string[] = []
  const log: Log = {
    ...silentLog,
    error: (event) => void said.push(event),
    info: (event) => void said.push(event),
  }
  const file = path.join(folder, 'store', 'tideway.db')
  const ballast = path.join(folder, 'ballast')
  let acknowledged = 0
  {
    await using store = await openSqliteStore({ path: file, keepRevisions: 5, log })
    await store.transaction([], [put('/a', 1000)])
    writeFileSync(ballast, Buffer.alloc(1024 * 1024))
    const refused = { code: 'STORE_UNAVAILABLE', message: /there is no room left on the disk/ }
    for (;;) {
      // Reads that share their turn with a write do not fail with it.
      const [written, read] = await Promise.allSettled([
        store.transaction([], [put(`/b/${acknowledged}`, 50_000)]),
        store.get('/a'),
        store.list('/b/', { limit: 2 }),
      ])
      assert.equal(read.status, 'fulfilled')
      if (written.status === 'rejected') {
        await assert.rejects(Promise.reject(written.reason as Error), refused)
        break
      }
      acknowledged++
    }
    assert.ok(acknowledged > 5)
    await assert.rejects(store.transaction([], [put('/b/more', 50_000)]), refused)
    assert.equal(await store.count('/b/'), acknowledged)
    // What /readyz asks is the least that can be written: there may be room for some of that left.
    while ((await Promise.allSettled([store.transaction([], [put('/small', 1)])]))[0].status === 'fulfilled');
    const clock = openTestClock()
    const check = openStoreCheck({ store, clock })
    assert.match((await check())!, /there is no room left on the disk/)
    const { signal } = new AbortController()
    const { revision } = await store.list('/')
    const next = store.watch('/c', { afterRevision: revision, signal })[Symbol.asyncIterator]().next()

    rmSync(ballast)
    const { ok } = await store.transaction([], [put('/c', 10)])
    assert.ok(ok)
    assert.equal((await next).done, false)
    await clock.advance(5_000)
    assert.equal(await check(), undefined)
    // In between small writes may have succeeded.
    assert.equal(said[0], 'store.writes-fail')
    assert.equal(said.at(-1), 'store.writes-go-on')
  }
  await using store = await openSqliteStore({ path: file })
  const { entries } = await store.list('/b/')
  assert.equal(entries.length, acknowledged)
  for (const { value } of entries) assert.equal(value.length, 50_000)
})
