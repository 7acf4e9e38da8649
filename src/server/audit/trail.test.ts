import assert from 'node:assert/strict'
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { openTestClock } from '#base/clock'
import { isFault } from '#base/errors'
import { silentLog } from '#base/log'
import type { AuditRecord, RequestEnd } from '#model/audit'
import { openAuditTrail, type AuditTrail, type AuditTrailOptions } from './index.ts'

async function newDirectory(context: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'tideway-audit-'))
  context.after(() => rm(directory, { recursive: true }))
  return directory
}

const openTrail = (directory: string, options: Partial<AuditTrailOptions> = {}) =>
  openAuditTrail({ directory, clock: openTestClock(), log: silentLog, ...options })

const end = (id: string): RequestEnd => ({
  type: 'request.end',
  id,
  at: '2026-01-01T00:00:00.000Z',
  status: 200,
  requestBytes: 1,
  responseBytes: 2,
  durationMs: 3,
})

async function idsOf(trail: AuditTrail, limit: number): Promise<string[]> {
  const ids: string[] = []
  const range = { limit, follow: false, signal: new AbortController().signal }
  for await (const { id } of trail.read(range)) ids.push(id)
  return ids
}

test('records come back in order after a reopening, in files that only the owner reads', async (context) => {
  const directory = await newDirectory(context)
  {
    await using trail = await openTrail(directory)
    await Promise.all([trail.append([end('a'), end('b')]), trail.append([end('c')])])
    await trail.change({ actor: 'system:admin', verb: 'create', object: 'service/aws', outcome: 'ok' })
  }
  await using trail = await openTrail(directory)
  const records: AuditRecord[] = []
  const range = { limit: 10, follow: false, signal: new AbortController().signal }
  for await (const record of trail.read(range)) records.push(record)
  assert.deepEqual(
    records.slice(0, 3).map(({ id }) => id),
    ['a', 'b', 'c'],
  )
  const { id, ...change } = records[3]!
  assert.match(id, /^[0-9a-f-]{36}$/)
  assert.deepEqual(change, {
    type: 'change',
    at: '2026-01-01T00:00:00.000Z',
    actor: 'system:admin',
    verb: 'create',
    object: 'service/aws',
    outcome: 'ok',
  })
  for (const name of await readdir(directory)) {
    assert.equal((await stat(join(directory, name))).mode & 0o777, 0o600)
  }
  assert.equal((await stat(directory)).mode & 0o777, 0o700)
})

test('a record that is shipped again is dropped, also after a restart; its start and end are two', async (context) => {
  const directory = await newDirectory(context)
  {
    await using trail = await openTrail(directory)
    await Promise.all([trail.append([end('a')]), trail.append([end('a')])])
  }
  await using trail = await openTrail(directory)
  await trail.append([end('a'), end('b')])
  assert.deepEqual(await idsOf(trail, 10), ['a', 'b'])
})

test('the newest records are found over several segments, and old segments go', async (context) => {
  const directory = await newDirectory(context)
  const bounds = { maxSegmentBytes: 400, maxSegments: 3 }
  await using trail = await openTrail(directory, bounds)
  for (let i = 0; i < 20; i++) await trail.append([end(`r${i}`)])
  assert.equal((await readdir(directory)).length, 3)
  assert.deepEqual(await idsOf(trail, 4), ['r16', 'r17', 'r18', 'r19'])
  assert.deepEqual(await idsOf(trail, 0), [])
  const kept = await idsOf(trail, 1000)
  assert.equal(kept.at(-1), 'r19')
  assert.ok(kept.length < 20)
})

test('a follower sees what is there, then what comes, and ends on abort', async (context) => {
  await using trail = await openTrail(await newDirectory(context), { maxSegmentBytes: 300, maxSegments: 2 })
  await trail.append([end('a')])
  const abort = new AbortController()
  const seen: string[] = []
  for await (const { id } of trail.read({ limit: 1, follow: true, signal: abort.signal })) {
    seen.push(id)
    if (seen.length < 10) await trail.append([end(`next-${seen.length}`)])
    else abort.abort()
  }
  assert.deepEqual(seen, ['a', ...Array.from({ length: 9 }, (_, i) => `next-${i + 1}`)])
})

test('a follower that reads nothing old sees only what comes', async (context) => {
  await using trail = await openTrail(await newDirectory(context))
  await trail.append([end('old')])
  const reading = trail.read({ limit: 0, follow: true, signal: AbortSignal.timeout(10_000) })
  const iterator = reading[Symbol.asyncIterator]()
  const next = iterator.next()
  await trail.append([end('new')])
  assert.equal((await next).value?.id, 'new')
  await iterator.return?.()
})

test('what a crash left half written is cut off and the trail goes on', async (context) => {
  const directory = await newDirectory(context)
  {
    await using trail = await openTrail(directory)
    await trail.append([end('a')])
  }
  const [name] = await readdir(directory)
  await appendFile(join(directory, name!), '{"type":"request.end","id":"torn')
  await using trail = await openTrail(directory)
  await trail.append([end('b')])
  assert.deepEqual(await idsOf(trail, 10), ['a', 'b'])
  assert.doesNotMatch(await readFile(join(directory, name!), 'utf8'), /torn/)
})

test('a damaged line hides no other record', async (context) => {
  const directory = await newDirectory(context)
  {
    await using trail = await openTrail(directory)
    await trail.append([end('a')])
  }
  const [name] = await readdir(directory)
  await appendFile(join(directory, name!), '\0\0\0\0\n')
  await using trail = await openTrail(directory)
  await trail.append([end('b')])
  assert.deepEqual(await idsOf(trail, 10), ['a', 'b'])
})

test('a failed write is reported to its caller and may be tried again', async (context) => {
  const directory = await newDirectory(context)
  await using trail = await openTrail(directory)
  await rm(directory, { recursive: true })
  await assert.rejects(trail.append([end('a')]), (error) => isFault(error, 'AUDIT_UNAVAILABLE'))
  await mkdir(directory)
  await trail.append([end('a')])
  assert.deepEqual(await idsOf(trail, 10), ['a'])
})

test('a trail that cannot be written says so before the first record, and by trying at any time', async (context) => {
  const directory = await newDirectory(context)
  const away = join(directory, 'away')
  await using trail = await openTrail(away)
  const isUnwritable = (error: unknown) => isFault(error, 'AUDIT_UNAVAILABLE')
  await rm(away, { recursive: true })
  await assert.rejects(trail.expectWritable(), isUnwritable)
  await mkdir(away)
  await trail.expectWritable()
  assert.deepEqual(await idsOf(trail, 10), [])
  await trail.append([end('a')])
  // Each record takes a file of its own: one that is open already could be written all the same.
  const later = join(directory, 'later')
  await using other = await openTrail(later, { maxSegmentBytes: 1 })
  await other.append([end('a')])
  await rm(later, { recursive: true })
  await other.expectWritable()
  await assert.rejects(other.expectWritable({ byTrying: true }), isUnwritable)
  await assert.rejects(other.expectWritable(), isUnwritable)
})

test('what ships the files sees nothing but records: trying touches none of them, and leaves nothing', async (context) => {
  const directory = await newDirectory(context)
  await using trail = await openTrail(directory)
  await trail.append([end('a')])
  const files = async () => {
    const names = await readdir(directory)
    const stats = names.map((name) => stat(join(directory, name), { bigint: true }))
    return (await Promise.all(stats)).map(({ size, mtimeNs }, index) => [names[index], size, mtimeNs])
  }
  const before = await files()
  await trail.expectWritable({ byTrying: true })
  assert.deepEqual(await files(), before)
})

test('a record that is too large is refused and harms no other', async (context) => {
  await using trail = await openTrail(await newDirectory(context))
  const large = { ...end('large'), reason: 'x'.repeat(100_000) }
  await assert.rejects(trail.append([large]), (error) => isFault(error, 'WIRE_TOO_LARGE'))
  await trail.append([end('a')])
  assert.deepEqual(await idsOf(trail, 10), ['a'])
})

test('a change of which a client wrote the name and the message is kept, cut', async (context) => {
  await using trail = await openTrail(await newDirectory(context))
  const long = 'x'.repeat(1_000_000)
  const range = { limit: 1, follow: false, signal: new AbortController().signal }
  await trail.change({
    actor: 'a',
    verb: 'create',
    object: `Service/${long}`,
    outcome: 'refused',
    message: long,
  })
  const [record] = await Array.fromAsync(trail.read(range))
  assert.ok(record?.type === 'change' && record.object.startsWith('Service/x'))
  assert.ok(JSON.stringify(record).length < 4_000)
})

test('a closed trail refuses', async (context) => {
  const trail = await openTrail(await newDirectory(context))
  await trail[Symbol.asyncDispose]()
  await assert.rejects(trail.append([end('a')]), (error) => isFault(error, 'AUDIT_UNAVAILABLE'))
})
