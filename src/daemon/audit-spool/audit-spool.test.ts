import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFile, mkdtemp, open, readdir, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { text } from 'node:stream/consumers'
import { test, type TestContext } from 'node:test'
import { openTestClock } from '#base/clock'
import { isFault } from '#base/errors'
import { silentLog } from '#base/log'
import type { AuditRecord, RequestStart } from '#model/audit'
import {
  openAuditSpool,
  openSpoolReader,
  type SpoolOptions,
  type SpoolBatch,
  type SpoolReader,
} from './index.ts'

const clock = openTestClock()

async function openFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tideway-'))
  t.after(() => rm(folder, { recursive: true }))
  return folder
}

function spoolIn(folder: string, options: Partial<SpoolOptions> = {}) {
  return openAuditSpool({
    folder,
    writer: 'worker-0',
    limitBytes: 1 << 20,
    whenFull: 'refuse',
    clock,
    log: silentLog,
    newId: () => 'gap',
    ...options,
  })
}

/** Opens `spool` in the script of a process of its own. */
const spoolOfChild = (folder: string) => `
    const { openAuditSpool } = await import('#daemon/audit-spool')
    const { systemClock } = await import('#base/clock')
    const { silentLog } = await import('#base/log')
    const spool = openAuditSpool({ folder: ${JSON.stringify(folder)}, writer: 'worker-0', limitBytes: 1 << 30,
      whenFull: 'refuse', clock: systemClock, log: silentLog, newId: () => 'gap' })`

function startOf(id: string, path = '/'): string {
  const at = new Date(clock.now()).toISOString()
  const record: RequestStart = {
    type: 'request.start',
    id,
    at,
    pid: 1,
    uid: 0,
    method: 'GET',
    host: 'example.org',
    port: 443,
    path,
    decision: 'injected',
  }
  return `${JSON.stringify(record)}\n`
}

function recordsOf({ lines }: SpoolBatch): AuditRecord[] {
  const records = lines.toString().split('\n').slice(0, -1)
  return records.map((line) => JSON.parse(line) as AuditRecord)
}

async function readAll(reader: SpoolReader): Promise<AuditRecord[]> {
  const records: AuditRecord[] = []
  for (let batch = await reader.next(1 << 20); batch; batch = await reader.next(1 << 20)) {
    records.push(...recordsOf(batch))
    batch.commit()
  }
  return records
}

const reading = (folder: string, writing = true) =>
  openSpoolReader({ folder, isWriting: () => writing, log: silentLog })

test('a record that was started can be read, and is given again until it is committed', async (t) => {
  const folder = await openFolder(t)
  await using spool = spoolIn(folder)
  await Promise.all([spool.start(startOf('a'), 'one'), spool.start(startOf('b'), 'one')])
  const reader = reading(folder)
  const first = await reader.next(1 << 20)
  assert.equal(recordsOf(first!).length, 2)
  const again = await reader.next(1 << 20)
  assert.deepEqual(recordsOf(again!), recordsOf(first!))
  again!.commit()
  assert.equal(await reader.next(1 << 20), undefined)
})

test('records of all writers travel together, and a busy writer does not keep the others waiting', async (t) => {
  const folder = await openFolder(t)
  await using busy = spoolIn(folder, { limitBytes: 1 << 22 })
  await using quiet = spoolIn(folder, { writer: 'worker-1' })
  const path = `/${'x'.repeat(100_000)}`
  for (let i = 0; i < 9; i++) await busy.start(startOf(`busy${i}`, path), 'one')
  await quiet.start(startOf('quiet'), 'one')
  const batch = await reading(folder).next(1 << 19)
  assert.equal(batch?.more, true)
  assert.ok(recordsOf(batch).some(({ id }) => id === 'quiet'))
})

test('a new run ships what an earlier one left, and removes it', async (t) => {
  const folder = await openFolder(t)
  {
    await using spool = spoolIn(folder)
    await spool.start(startOf('a'), 'one')
  }
  const reader = reading(folder, false)
  assert.deepEqual(
    (await readAll(reader)).map(({ id }) => id),
    ['a'],
  )
  assert.deepEqual(await readdir(folder), [])
})

test('a line cut short by a kill is left out, the records before it are not', async (t) => {
  const folder = await openFolder(t)
  {
    await using spool = spoolIn(folder)
    await spool.start(startOf('a'), 'one')
  }
  const [segment] = await readdir(folder)
  await appendFile(join(folder, segment!), '{"type":"request.start","id":"torn')
  assert.deepEqual(
    (await readAll(reading(folder, false))).map(({ id }) => id),
    ['a'],
  )
  assert.deepEqual(await readdir(folder), [])
})

test('a full spool refuses new requests, still takes their ends, and has room again after shipping', async (t) => {
  const folder = await openFolder(t)
  const limitBytes = 400_000
  await using spool = spoolIn(folder, { limitBytes })
  const path = `/${'x'.repeat(10_000)}`
  let started = 0
  await assert.rejects(
    async () => {
      for (;;) {
        await spool.start(startOf(`r${started}`, path), `owner ${started % 3}`)
        started++
      }
    },
    (error) => isFault(error, 'AUDIT_UNAVAILABLE'),
  )
  assert.ok(started >= 38 && started < 40)
  spool.end('{"type":"request.end","id":"r0","at":"now"}\n')
  const reader = reading(folder)
  assert.equal((await readAll(reader)).length, started)
  await clock.advance(100)
  assert.deepEqual(
    (await readAll(reader)).map(({ type }) => type),
    ['request.end'],
    'nobody waits for an end: it is written a little later',
  )
  await spool.start(startOf('after', path), 'one')
  assert.deepEqual(
    (await readAll(reader)).map(({ id }) => id),
    ['after'],
  )
})

test('one owner takes half of a spool, others have the rest, and it has room again after shipping', async (t) => {
  const folder = await openFolder(t)
  await using spool = spoolIn(folder, { limitBytes: 1_000_000 })
  const path = `/${'x'.repeat(10_000)}`
  let started = 0
  const flood = async () => {
    for (;;) {
      await spool.start(startOf(`r${started}`, path), 'flooder')
      started++
    }
  }
  await assert.rejects(flood, (error) => isFault(error, 'BUFFERS_EXHAUSTED'))
  assert.ok(started >= 48 && started < 50)
  for (let i = 0; i < 40; i++) await spool.start(startOf(`other${i}`, path), 'other')
  // What was not in the segment that is still written to is removed once it has been shipped, and looked for again.
  const reader = reading(folder)
  assert.equal((await readAll(reader)).length, started + 40)
  await spool.start(startOf('after', path), 'flooder')
})

test('set to count, a full spool lets requests go and records how many it did not keep', async (t) => {
  const folder = await openFolder(t)
  await using spool = spoolIn(folder, { limitBytes: 300_000, whenFull: 'count' })
  const path = `/${'x'.repeat(100_000)}`
  for (let i = 0; i < 5; i++) await spool.start(startOf(`r${i}`, path), `owner ${i}`)
  const reader = reading(folder)
  assert.equal((await readAll(reader)).length, 2)
  await spool.start(startOf('after'), 'one')
  const [gap, after] = await readAll(reader)
  assert.ok(gap?.type === 'request.start')
  assert.match(gap.reason!, /: 3 records were not kept/)
  assert.equal(after?.id, 'after')
})

test('every record that a writer was told is written survives its SIGKILL', async (t) => {
  const folder = await openFolder(t)
  const script = `${spoolOfChild(folder)}
    for (let i = 0; ; i++) {
      await spool.start(JSON.stringify({ id: String(i), path: '/'.repeat(i % 5000) }) + '\\n', 'one')
      process.stdout.write(i + '\\n')
    }`
  const writer = spawn(process.execPath, ['--input-type=module', '-e', script], {
    cwd: import.meta.dirname,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let told = ''
  for await (const chunk of writer.stdout.setEncoding('utf8')) {
    told += chunk
    if (told.length > 4_000) writer.kill('SIGKILL')
  }
  if (writer.signalCode === null) await once(writer, 'exit')
  const lastTold = Number(told.trimEnd().split('\n').at(-1))
  const ids = new Set((await readAll(reading(folder, false))).map(({ id }) => id))
  for (let i = 0; i <= lastTold; i++) assert.ok(ids.has(String(i)), `record ${i} is missing`)
})

test('where no further segment can be opened, records go on into the one at hand, and nowhere else', async (t) => {
  const folder = await openFolder(t)
  const away = `${folder}-away`
  const logged: string[] = []
  const log = { ...silentLog, error: (event: string) => void logged.push(event) }
  await using spool = spoolIn(folder, { limitBytes: 1 << 30, log })
  const path = `/${'x'.repeat(300_000)}`
  await rename(folder, away)
  await spool.start(startOf('last of its segment', path), 'one')
  // Whoever opens something now gets the lowest number that is free: that of a segment that was closed too early.
  const stranger = join(away, 'stranger')
  await using file = await open(stranger, 'a+')
  await spool.start(startOf('beyond its size', path), 'one')
  assert.equal((await file.stat()).size, 0)
  await rename(away, folder)
  await spool.start(startOf('still there'), 'one')
  await spool.start(startOf('in the next'), 'one')
  assert.deepEqual(logged, ['audit.segment-failed'], 'told once')
  const segments = (await readdir(folder)).filter((name) => name.endsWith('.jsonl'))
  assert.equal(segments.length, 2)
  assert.deepEqual(
    (await readAll(reading(folder))).map(({ id }) => id),
    ['last of its segment', 'beyond its size', 'still there', 'in the next'],
  )
})

test('a full spool whose folder cannot be read refuses, and breaks nobody who only takes note', async (t) => {
  const folder = await openFolder(t)
  await using spool = spoolIn(folder, { limitBytes: 4096 })
  const line = startOf('one', `/${'x'.repeat(1500)}`)
  await spool.start(line, 'one')
  await spool.start(line, 'other')
  await rename(folder, `${folder}-away`)
  const refused = spool.start(line, 'third')
  await assert.rejects(refused, (error) => isFault(error, 'AUDIT_UNAVAILABLE'))
  spool.end(line)
  await rename(`${folder}-away`, folder)
})

test('what a full disk took only a part of is refused, and swallows no other record', async (t) => {
  const folder = await openFolder(t)
  const script = `${spoolOfChild(folder)}
    for (const [id, size] of [['first', 5_000], ['too large', 5_000], ['last', 10]]) {
      const line = JSON.stringify({ id, path: '/'.repeat(size) }) + '\\n'
      await spool.start(line, 'one').catch((error) => console.log(error.code))
    }`
  // A file of at most 8 KiB is a disk that is full behind it.
  const limited = [
    '-c',
    'ulimit -f 16; exec "$0" "$@"',
    process.execPath,
    '--input-type=module',
    '-e',
    script,
  ]
  const writer = spawn('sh', limited, { cwd: import.meta.dirname, stdio: ['ignore', 'pipe', 'inherit'] })
  const told = await text(writer.stdout)
  assert.equal(told, 'AUDIT_UNAVAILABLE\n')
  const ids = (await readAll(reading(folder, false))).map(({ id }) => id)
  assert.deepEqual(ids, ['first', 'last'])
})
