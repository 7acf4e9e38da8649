import { randomUUID } from 'node:crypto'
import { chmod, open, type FileHandle } from 'node:fs/promises'
import type { Clock } from '#base/clock'
import { Fault } from '#base/errors'
import { makeFolder } from '#base/files'
import { openBell } from '#base/lifecycle'
import type { Log } from '#base/log'
import { silentMetrics, type Metrics } from '#base/metrics'
import type { AuditRecord } from '#model/audit'
import type { AuditTrail } from './ports.ts'
import { parseLine, readSegments } from './reader.ts'
import {
  createSegment,
  linesBetween,
  openSegmentFile,
  probeRoom,
  recoverSegments,
  removeSegment,
  writeSegment,
  type Segment,
} from './segments.ts'

const maxLineBytes = 64 * 1024
const maxObjectLength = 600
const maxMessageLength = 2_000
const maxPendingBytes = 16 * 1024 * 1024

export interface AuditTrailOptions {
  /** Created with mode 0700 when missing; nothing else may live in it. */
  directory: string
  clock: Clock
  log: Log
  metrics?: Metrics
  maxSegmentBytes?: number
  /** The oldest segment is removed when there are more. */
  maxSegments?: number
  /** How many ids are remembered to drop a record that is shipped again. */
  maxRecentIds?: number
}

/** Lines that go to disk with one write and one fsync. */
interface Batch {
  readonly lines: string[]
  readonly ids: string[]
  readonly written: Promise<void>
}

const idOf = (record: AuditRecord) => `${record.type} ${record.id}`

/**
 * Opens the trail of a directory and cuts off what a crash left half written.
 * @throws Fault AUDIT_UNAVAILABLE when the directory cannot be used; later `append` throws it when the disk
 * fails or falls behind by 16 MiB, and WIRE_TOO_LARGE for a record above 64 KiB.
 */
export async function openAuditTrail(options: AuditTrailOptions): Promise<AuditTrail> {
  const { directory, clock, log, metrics = silentMetrics } = options
  const { maxSegmentBytes = 16 * 1024 * 1024, maxSegments = 16, maxRecentIds = 50_000 } = options
  const segments = await recover(directory)
  const recent = await recentIds(segments, maxRecentIds)
  const committed = openBell()
  const closed = new AbortController()
  let current: { segment: Segment; file: FileHandle } | undefined
  let gathering: Batch | undefined
  let pendingBytes = 0
  /** Whether the last write is known to have succeeded: what was read at the start says nothing of that. */
  let isSound = false
  let idle: Promise<void> = Promise.resolve()

  const unwritable = (cause: unknown) =>
    new Fault('AUDIT_UNAVAILABLE', `audit trail in ${directory} cannot be written`, {
      hint: 'make room on its disk: it goes on by itself',
      cause,
    })

  async function segmentFor(bytes: number): Promise<{ segment: Segment; file: FileHandle }> {
    const last = segments.at(-1)
    if (last && (last.bytes === 0 || last.bytes + bytes <= maxSegmentBytes)) {
      return (current ??= { segment: last, file: await openSegmentFile(last) })
    }
    const created = await createSegment(directory, last)
    await current?.file.close()
    current = created
    segments.push(created.segment)
    while (segments.length > maxSegments) await removeSegment(segments.shift()!)
    return current
  }

  async function write({ lines, ids }: Batch): Promise<void> {
    const bytes = Buffer.from(lines.join(''), 'utf8')
    pendingBytes -= bytes.length
    try {
      const { segment, file } = await segmentFor(bytes.length)
      await writeSegment(file, segment, bytes)
      segment.bytes += bytes.length
      segment.records += lines.length
      isSound = true
    } catch (error) {
      for (const id of ids) recent.delete(id)
      isSound = false
      log.error('audit.write-failed', { directory, records: lines.length, error })
      throw unwritable(error)
    }
    committed.ring()
  }

  async function tryToWrite(): Promise<void> {
    try {
      await segmentFor(0)
      await probeRoom(directory)
      isSound = true
    } catch (error) {
      isSound = false
      throw unwritable(error)
    }
  }

  /** The batch that the next write takes; it is full when that write starts. */
  function gather(): Batch {
    if (gathering) return gathering
    const batch: Batch = {
      lines: [],
      ids: [],
      written: idle.then(() => {
        gathering = undefined
        return write(batch)
      }),
    }
    idle = batch.written.catch(() => {})
    return (gathering = batch)
  }

  function enqueue(record: AuditRecord): void {
    const id = idOf(record)
    if (recent.has(id)) return
    const line = `${JSON.stringify(record)}\n`
    const bytes = Buffer.byteLength(line)
    if (bytes > maxLineBytes) {
      throw new Fault('WIRE_TOO_LARGE', `audit record ${id} has ${bytes} bytes, more than ${maxLineBytes}`)
    }
    if (pendingBytes + bytes > maxPendingBytes) {
      throw new Fault('AUDIT_UNAVAILABLE', 'audit trail cannot keep up: too much waits to be written')
    }
    const batch = gather()
    pendingBytes += bytes
    batch.lines.push(line)
    batch.ids.push(id)
    recent.add(id)
    if (recent.size > maxRecentIds) recent.delete(recent.values().next().value!)
    metrics.count('audit_records', { type: record.type })
  }

  async function append(records: readonly AuditRecord[]): Promise<void> {
    if (closed.signal.aborted) throw new Fault('AUDIT_UNAVAILABLE', 'audit trail is closed')
    // A record that is known may still be on its way to disk: waiting for all that is under way covers it.
    const underWay = idle
    for (const record of records) enqueue(record)
    await (gathering ? gathering.written : underWay)
  }

  return {
    append,
    // Names and messages may hold what a client wrote: cut, so that no length of them keeps a record out.
    change: ({ object, message, ...record }) =>
      append([
        {
          type: 'change',
          id: randomUUID(),
          at: new Date(clock.now()).toISOString(),
          ...record,
          object: object.slice(0, maxObjectLength),
          ...(message !== undefined && { message: message.slice(0, maxMessageLength) }),
        },
      ]),
    async expectWritable({ byTrying } = { byTrying: false }) {
      if (isSound && !byTrying) return
      const tried = idle.then(() => tryToWrite())
      idle = tried.catch(() => {})
      await tried
    },
    read: ({ signal, ...range }) =>
      readSegments(segments, committed, { ...range, signal: AbortSignal.any([signal, closed.signal]) }),
    async [Symbol.asyncDispose]() {
      closed.abort()
      await idle
      await current?.file.close()
    },
  }
}

async function recover(directory: string): Promise<Segment[]> {
  try {
    makeFolder(directory, 0o700)
    await chmod(directory, 0o700)
    return await recoverSegments(directory)
  } catch (error) {
    throw new Fault('AUDIT_UNAVAILABLE', `audit trail in ${directory} cannot be opened`, { cause: error })
  }
}

async function recentIds(segments: readonly Segment[], max: number): Promise<Set<string>> {
  const ids: string[] = []
  let first = segments.length
  for (let records = 0; first > 0 && records < max;) records += segments[--first]!.records
  for (const segment of segments.slice(first)) {
    await using file = await open(segment.path, 'r')
    for await (const line of linesBetween(file, 0, segment.bytes)) {
      const record = parseLine(line)
      if (record) ids.push(idOf(record))
    }
  }
  return new Set(ids.slice(-max))
}
