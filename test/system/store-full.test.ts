// A disk without room under the SQLite store, its backups and the audit trail: a small file system in memory.
import assert from 'node:assert/strict'
import { execFile, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { silentLog, type Log } from '#base/log'
import { unshare } from '#base/syscall'
import { backupLines } from '#model/backup'
import { openSqliteStore } from '#server/store'
import { openTestClock } from '#base/clock'
import { freePort } from '../../src/cli/dev/free-port.ts'
import { openStoreCheck } from '../../src/server/program/store-check.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'tideway-full-'))
const ballast = path.join(folder, 'ballast')

before(() => {
  // A mount namespace of this thread's own, and of what it starts: the mounts go with the process.
  unshare('mount')
  execFileSync('mount', ['--make-rprivate', '/'])
})
beforeEach(() => {
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m,mode=0700', 'tideway-test', folder])
})
afterEach(() => {
  execFileSync('umount', [folder])
})
after(() => rmSync(folder, { recursive: true }))

/** Takes all the room there is but so much. */
function leaveRoom(bytes: number): void {
  const { bavail, bsize } = statfsSync(folder)
  writeFileSync(ballast, Buffer.alloc(Math.max(0, bavail * bsize - bytes)))
}

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
  leaveRoom(300_000)
  const refused = restore()
  assert.notEqual(refused.status, 0)
  assert.match(refused.stderr, /there is no room left on the disk/)
  rmSync(ballast)
  const { status, stderr } = restore()
  assert.equal(status, 0, stderr)
  assert.match(stderr, /^10 entries/m)
  rmSync(elsewhere, { recursive: true })
  rmSync(data, { recursive: true })
}

test('a full disk: writes are refused with the reason, reads and watches go on, and so does all once there is room', async () => {
  expectRestoredWhole()
  const said: string[] = []
  const log: Log = {
    ...silentLog,
    error: (event) => void said.push(event),
    info: (event) => void said.push(event),
  }
  const file = path.join(folder, 'store', 'tideway.db')
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

test('a backup for which there is no room, on the disk of the store itself, leaves the earlier one and the server as they were', async () => {
  await using stack = new AsyncDisposableStack()
  const elsewhere = mkdtempSync(path.join(tmpdir(), 'tideway-contexts-'))
  stack.defer(() => rmSync(elsewhere, { recursive: true }))
  const env = { ...process.env, TIDEWAY_CONTEXTS: path.join(elsewhere, 'contexts.yaml') }
  const data = path.join(folder, 'server')
  const any = ['listen', 'node-listen', 'health-listen'].map((name) => `--${name}=127.0.0.1:0`)
  const server = spawn(tideway, ['server', `--data-dir=${data}`, '--trust-domain=example.org', ...any], {
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const ended = once(server, 'exit')
  stack.defer(async () => {
    server.kill()
    await ended
  })
  const said = createInterface(server.stderr)
  await new Promise<void>((resolve, reject) => {
    said.on('line', (line) => line.includes('answers at') && resolve())
    said.on('close', () => reject(new Error('the server has ended')))
  })

  const run = (args: readonly string[], input = '') =>
    new Promise<{ failed: boolean; stdout: string; stderr: string }>((resolve) => {
      const child = execFile(tideway, args, { env }, (error, stdout, stderr) =>
        resolve({ failed: error !== null, stdout, stderr }),
      )
      child.stdin!.end(input)
    })
  async function succeed(args: readonly string[], input?: string): Promise<string> {
    const { failed, stdout, stderr } = await run(args, input)
    assert.ok(!failed, stderr)
    return stdout
  }
  const secret = (name: string, bytes: number) =>
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name },
      stringData: { key: 'x'.repeat(bytes) },
    })
  await succeed(['ctl', 'apply', '-f', '-'], secret('small', 10))
  const file = path.join(folder, 'backup')
  await succeed(['backup', file])
  const earlier = readFileSync(file)
  await succeed(['ctl', 'apply', '-f', '-'], secret('large', 500_000))

  leaveRoom(300_000)
  const present = readdirSync(folder)
  for (const name of ['backup', 'another']) {
    const { failed, stderr } = await run(['backup', path.join(folder, name)])
    assert.ok(failed)
    assert.match(stderr, /no space left on device.*no backup was made/s)
    assert.deepEqual(readdirSync(folder), present, 'nothing that looks like a backup')
  }
  assert.deepEqual(readFileSync(file), earlier)
  await succeed(['ctl', 'apply', '-f', '-'], secret('later', 10))
  assert.match(await succeed(['ctl', 'get', 'secrets']), /^later /m)
  rmSync(ballast)
  await succeed(['backup', file])
  assert.ok(readFileSync(file).length > earlier.length + 500_000)
})

test('an audit trail without room: nothing is done that it cannot record, and the server is not ready', async () => {
  await using stack = new AsyncDisposableStack()
  const elsewhere = mkdtempSync(path.join(tmpdir(), 'tideway-audited-'))
  stack.defer(() => rmSync(elsewhere, { recursive: true }))
  const env = { ...process.env, TIDEWAY_CONTEXTS: path.join(elsewhere, 'contexts.yaml') }
  const data = path.join(elsewhere, 'server')
  // A disk of its own, as it has where the store is a database.
  mkdirSync(data, { mode: 0o700 })
  symlinkSync(folder, path.join(data, 'audit'))
  const health = `127.0.0.1:${await freePort('127.0.0.1')}`
  const any = ['listen', 'node-listen'].map((name) => `--${name}=127.0.0.1:0`)
  const args = [
    'server',
    `--data-dir=${data}`,
    '--trust-domain=example.org',
    `--health-listen=${health}`,
    ...any,
  ]
  const server = spawn(tideway, args, { env, stdio: ['ignore', 'ignore', 'pipe'] })
  const ended = once(server, 'exit')
  stack.defer(async () => {
    server.kill()
    await ended
  })
  const readiness = async () => {
    const answer = await fetch(`http://${health}/readyz`).catch(() => undefined)
    return `${answer?.status} ${(await answer?.text())?.trim()}`
  }
  const until = async (wanted: RegExp) => {
    for (let found = ''; !wanted.test(found); found = await readiness()) await delay(20)
  }
  await until(/^200/)
  const apply = (...names: string[]) => {
    const secrets = names.map((name) => ({ apiVersion: 'v1', kind: 'Secret', metadata: { name } }))
    const input = secrets.map((secret) => JSON.stringify(secret)).join('\n---\n')
    return spawnSync(tideway, ['ctl', 'apply', '-f', '-'], { env, input, encoding: 'utf8' })
  }
  const isThere = (name: string) =>
    spawnSync(tideway, ['ctl', 'get', 'secret', name], { env, encoding: 'utf8' }).status === 0
  assert.equal(apply('before').status, 0)
  leaveRoom(0)
  // The page of the last record may have room for some more.
  assert.notEqual(apply(...Array.from({ length: 30 }, (_, index) => `last-${index}`)).status, 0)
  await until(/^503 audit: audit trail in \S+ cannot be written$/)
  assert.match(apply('unseen').stderr, /the audit record could not be written/)
  assert.ok(!isThere('unseen'))
  rmSync(ballast)
  await until(/^200/)
  assert.equal(apply('after').status, 0)
  assert.ok(isThere('after'))
})
