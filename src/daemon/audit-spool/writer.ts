import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs'
import type { Clock } from '#base/clock'
import { Fault } from '#base/errors'
import { makeFolder } from '#base/files'
import type { Log } from '#base/log'
import { formatCircumstances, formatStart } from '#model/audit'
import { listSegments, segmentPath } from './segments.ts'
import { Shares } from './shares.ts'

export interface SpoolOptions {
  readonly folder: string
  /** Name of this writer, its own alone: lower-case letters, digits and dashes. */
  readonly writer: string
  /** Size of what this writer may have waiting to be shipped. */
  readonly limitBytes: number
  /** What happens at the limit: refuse new requests, or let them go and count the records not kept. */
  readonly whenFull: 'refuse' | 'count'
  readonly clock: Clock
  readonly log: Log
  /** Makes ids of gap records. */
  readonly newId: () => string
}

/** Where a worker's audit records go; an `AuditSink` of `#daemon/outbound`. */
export interface AuditSpool extends AsyncDisposable {
  /**
   * Resolves once written: the record survives the end of this process. @throws Fault AUDIT_UNAVAILABLE, and
   * BUFFERS_EXHAUSTED where only `owner` has no more room
   */
  start(line: string, owner: string): Promise<void>
  end(line: string): void
}

const maxSegmentBytes = 256 * 1024
/** SECURITY: of one owner's starts, so that it cannot fill the spool and have everybody else refused. */
const maxShare = 0.5
// Every start admitted below the limit may still write its end.
const reserve = 1.1
/** Nobody waits for an end: it travels with the next start, or after this time. */
const endsGatherMs = 100

/**
 * Opens a spool for writing. Records of one turn of the event loop are written together; `fsync` is left to the
 * kernel, so they survive SIGKILL but not a power cut (security rule 24). The write is not left to a thread: it goes
 * to memory, and being woken by another thread costs several times as much, for every request.
 */
export function openAuditSpool(options: SpoolOptions): AuditSpool {
  const { folder, writer, limitBytes, whenFull, clock, log, newId } = options
  // Only whole segments are removed: several make up anybody's share.
  const segmentBytes = Math.min(maxSegmentBytes, limitBytes / 8)
  makeFolder(folder, 0o700)
  const own = () => listSegments(folder).filter((segment) => segment.writer === writer)
  const shares = new Shares()
  const ownBytes = () => {
    const segments = own()
    shares.retain(new Set(segments.map((segment) => segment.number)))
    return segments.reduce((sum, { bytes }) => sum + bytes, 0)
  }
  let number = (own().at(-1)?.number ?? 0) + 1
  let fd = openSync(segmentPath(folder, writer, number), 'ax', 0o600)
  let written = 0
  /** No other segment could be opened: the one at hand grows beyond its size. */
  let isStuck = false
  /** Counted up by what we write; corrected by looking when that reaches the limit, as shipping makes room. */
  let used = ownBytes()
  let dropped = 0
  let waiting = ''
  /** Settles when what was started in this turn is written. */
  let next: PromiseWithResolvers<void> | undefined
  let ending: Promise<void> | undefined

  /** SECURITY: where there is nothing to see, as without a free descriptor, what was known stands and nobody fails. */
  const look = () => {
    try {
      used = ownBytes() + Buffer.byteLength(waiting)
    } catch (error) {
      log.error('audit.look-failed', { folder, error })
    }
  }
  const hasRoom = (bytes: number, limit: number) => {
    if (used + bytes > limit) look()
    return used + bytes <= limit
  }
  const hasShare = (owner: string, bytes: number) => {
    const share = limitBytes * maxShare
    if (shares.of(owner) + bytes > share) look()
    return shares.of(owner) + bytes <= share
  }
  const noRoomFor = (owner: string, bytes: number): Fault | undefined => {
    const hint = 'records leave it when the control plane can be reached'
    if (!hasRoom(bytes, limitBytes)) {
      const message = `the audit spool ${folder} is full (${limitBytes} bytes)`
      return new Fault('AUDIT_UNAVAILABLE', message, { hint })
    }
    if (hasShare(owner, bytes)) return undefined
    const message = `records of ${owner} take half of the audit spool ${folder} (${limitBytes} bytes)`
    return new Fault('BUFFERS_EXHAUSTED', message, { hint })
  }
  const append = (bytes: Buffer) => {
    let offset = 0
    try {
      while (offset < bytes.length) offset += writeSync(fd, bytes, offset)
    } catch (error) {
      // The disk took a part: a line that is torn would swallow the next one.
      written += bytes.subarray(0, offset).lastIndexOf(10) + 1
      ftruncateSync(fd, written)
      throw error
    }
    written += bytes.length
    if (written >= segmentBytes) turnOver()
  }
  /**
   * SECURITY: the next segment is opened before this one is closed. Where that fails, this one goes on: the number
   * of a closed descriptor is soon that of somebody's socket.
   */
  const turnOver = () => {
    let opened: number
    try {
      opened = openSync(segmentPath(folder, writer, number + 1), 'ax', 0o600)
    } catch (error) {
      if (!isStuck) log.error('audit.segment-failed', { folder, error })
      isStuck = true
      return
    }
    closeSync(fd)
    fd = opened
    number += 1
    written = 0
    isStuck = false
  }
  const flush = () => {
    const done = next
    const text = waiting
    next = undefined
    waiting = ''
    try {
      if (text !== '') append(Buffer.from(text))
      done?.resolve()
    } catch (error) {
      log.error('audit.write-failed', { error })
      done?.reject(new Fault('AUDIT_UNAVAILABLE', `cannot write to ${folder}`, { cause: error }))
    }
  }
  const flushLater = async () => {
    await clock.sleep(endsGatherMs, { unref: true })
    ending = undefined
    flush()
  }
  const enqueue = (line: string, bytes = Buffer.byteLength(line)) => {
    used += bytes
    waiting += line
  }
  const drop = () => {
    if (dropped++ === 0) log.error('audit.gap-begins', { folder, limitBytes })
  }
  const closeGap = () => {
    // The control plane takes no other kind of record from a node; nobody in particular made these requests.
    const nobody = formatCircumstances({ pid: 0, uid: 0, host: '-', port: 0 })
    const reason = `AUDIT_UNAVAILABLE: ${dropped} records were not kept: the spool of ${writer} was full`
    const at = new Date(clock.now()).toISOString()
    log.warn('audit.gap-ends', { records: dropped })
    dropped = 0
    enqueue(formatStart({ id: newId(), at, method: '-', path: '-', decision: 'injected', reason }, nobody))
  }
  return {
    start(line, owner) {
      const bytes = Buffer.byteLength(line)
      const problem = noRoomFor(owner, bytes)
      if (problem) return whenFull === 'count' ? Promise.resolve(drop()) : Promise.reject(problem)
      if (dropped > 0) closeGap()
      shares.add(owner, number, bytes)
      enqueue(line, bytes)
      if (!next) {
        next = Promise.withResolvers()
        setImmediate(flush) // the rest of this turn joins the same write
      }
      return next.promise
    },
    end(line) {
      const bytes = Buffer.byteLength(line)
      if (!hasRoom(bytes, limitBytes * reserve)) {
        drop()
        return
      }
      enqueue(line, bytes)
      ending ??= flushLater()
    },
    async [Symbol.asyncDispose]() {
      flush()
      closeSync(fd)
    },
  }
}
