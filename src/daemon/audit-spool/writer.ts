import { closeSync, mkdirSync, openSync, write } from 'node:fs'
import { promisify } from 'node:util'
import type { Clock } from '#base/clock'
import { Fault } from '#base/errors'
import type { Log } from '#base/log'
import type { RequestEnd, RequestStart } from '#model/audit'
import { listSegments, segmentPath } from './segments.ts'

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
  /** Resolves once written: the record survives the end of this process. @throws Fault AUDIT_UNAVAILABLE */
  start(record: RequestStart): Promise<void>
  end(record: RequestEnd): void
}

const segmentBytes = 256 * 1024
// Every start admitted below the limit may still write its end.
const reserve = 1.1
const writeBytes = promisify(write)

interface Line {
  readonly text: string
  readonly done?: { readonly resolve: () => void; readonly reject: (error: Fault) => void }
}

/**
 * Opens a spool for writing. Records of one turn of the event loop are written together; `fsync` is left to the
 * kernel, so they survive SIGKILL but not a power cut (security rule 24).
 */
export function openAuditSpool(options: SpoolOptions): AuditSpool {
  const { folder, writer, limitBytes, whenFull, clock, log, newId } = options
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const own = () => listSegments(folder).filter((segment) => segment.writer === writer)
  const ownBytes = () => own().reduce((sum, { bytes }) => sum + bytes, 0)
  let number = (own().at(-1)?.number ?? 0) + 1
  let fd = openSync(segmentPath(folder, writer, number), 'ax', 0o600)
  let written = 0
  /** Counted up by what we write; corrected by looking when that reaches the limit, as shipping makes room. */
  let used = ownBytes()
  let dropped = 0
  let waiting: Line[] = []
  let flushing: Promise<void> | undefined

  const hasRoom = (bytes: number, limit: number) => {
    if (used + bytes > limit) used = ownBytes()
    return used + bytes <= limit
  }
  const append = async (bytes: Buffer) => {
    let offset = 0
    while (offset < bytes.length) offset += (await writeBytes(fd, bytes, offset)).bytesWritten
    written += bytes.length
    if (written < segmentBytes) return
    closeSync(fd)
    fd = openSync(segmentPath(folder, writer, ++number), 'ax', 0o600)
    written = 0
  }
  const flush = async () => {
    await new Promise<void>((resolve) => setImmediate(resolve)) // the rest of this turn joins the same write
    while (waiting.length > 0) {
      const lines = waiting
      waiting = []
      try {
        await append(Buffer.from(lines.map(({ text }) => text).join('')))
        for (const { done } of lines) done?.resolve()
      } catch (error) {
        log.error('audit.write-failed', { error })
        const fault = new Fault('AUDIT_UNAVAILABLE', `cannot write to ${folder}`, { cause: error })
        for (const { done } of lines) done?.reject(fault)
      }
    }
    flushing = undefined
  }
  const enqueue = (line: Line) => {
    used += Buffer.byteLength(line.text)
    waiting.push(line)
    flushing ??= flush()
  }
  const drop = () => {
    if (dropped++ === 0) log.error('audit.gap-begins', { folder, limitBytes })
  }
  const closeGap = () => {
    // The control plane takes no other kind of record from a node; nobody in particular made these requests.
    const gap: RequestStart = {
      type: 'request.start',
      id: newId(),
      at: new Date(clock.now()).toISOString(),
      pid: 0,
      uid: 0,
      method: '-',
      host: '-',
      port: 0,
      path: '-',
      decision: 'injected',
      reason: `AUDIT_UNAVAILABLE: ${dropped} records were not kept: the spool of ${writer} was full`,
    }
    log.warn('audit.gap-ends', { records: dropped })
    dropped = 0
    enqueue({ text: `${JSON.stringify(gap)}\n` })
  }
  return {
    async start(record) {
      const text = `${JSON.stringify(record)}\n`
      if (!hasRoom(Buffer.byteLength(text), limitBytes)) {
        if (whenFull === 'count') return drop()
        throw new Fault('AUDIT_UNAVAILABLE', `the audit spool ${folder} is full (${limitBytes} bytes)`, {
          hint: 'records leave it when the control plane can be reached',
        })
      }
      if (dropped > 0) closeGap()
      await new Promise<void>((resolve, reject) => enqueue({ text, done: { resolve, reject } }))
    },
    end(record) {
      const text = `${JSON.stringify(record)}\n`
      if (hasRoom(Buffer.byteLength(text), limitBytes * reserve)) enqueue({ text })
      else drop()
    },
    async [Symbol.asyncDispose]() {
      await flushing
      closeSync(fd)
    },
  }
}
