import { existsSync, unlinkSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { isFault } from '#base/errors'
import type { Log } from '#base/log'
import { parseAuditRecord } from '#model/audit'
import { listSegments, type Segment } from './segments.ts'

export interface SpoolBatch {
  /** Records as JSON, oldest first within a writer; never empty. */
  readonly records: readonly string[]
  /** It was cut at its size: there are more already. */
  readonly more: boolean
  /** They have arrived: never yields them again in this run, and removes segments that are done. */
  commit(): void
}

export interface SpoolReader {
  /**
   * The next records of all writers, at most about `maxBytes` of them and of one segment; undefined when all have
   * been shipped.
   */
  next(maxBytes: number): Promise<SpoolBatch | undefined>
}

/** What a segment holds from `offset` on, up to its last whole line. */
async function readLines(path: string, offset: number, maxBytes: number): Promise<Buffer> {
  await using file = await open(path, 'r')
  const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(maxBytes), 0, maxBytes, offset)
  return buffer.subarray(0, buffer.subarray(0, bytesRead).lastIndexOf(10) + 1)
}

/**
 * Opens the shipping side of a spool. Records are given at least once: after a restart those of segments that
 * were not done come again. `isWriting` tells whether a writer of that name may still append.
 */
export function openSpoolReader({
  folder,
  isWriting,
  log,
}: {
  folder: string
  isWriting: (writer: string) => boolean
  log: Log
}): SpoolReader {
  /** How far each remaining segment has been shipped. */
  const offsets = new Map<string, number>()

  const isClosed = (segment: Segment, all: readonly Segment[]) =>
    all.some((other) => other.writer === segment.writer && other.number > segment.number) ||
    !isWriting(segment.writer)

  const remove = ({ path, bytes }: Segment, shipped: number) => {
    // A line cut short by SIGKILL: whoever wrote it never heard that it was written.
    if (shipped < bytes) log.warn('audit.torn-record', { path, bytes: bytes - shipped })
    unlinkSync(path)
    offsets.delete(path)
  }
  const legible = (line: string, path: string) => {
    try {
      parseAuditRecord(line)
      return true
    } catch (error) {
      log.error('audit.damaged-record', { path, error: isFault(error) ? error.message : error })
      return false
    }
  }
  return {
    async next(maxBytes) {
      if (!existsSync(folder)) return undefined
      const records: string[] = []
      const shipped = new Map<string, number>()
      let size = 0
      const all = listSegments(folder)
      for (const segment of all) {
        if (size >= maxBytes) break
        const { path } = segment
        const offset = offsets.get(path) ?? 0
        // Closed is asked before reading: what is read then is all there will be.
        const closed = isClosed(segment, all)
        if (!closed && segment.bytes <= offset) continue
        const chunk = await readLines(path, offset, maxBytes)
        if (chunk.length === 0) {
          if (closed) remove(segment, offset)
          continue
        }
        for (const line of chunk.toString('utf8', 0, chunk.length - 1).split('\n')) {
          if (legible(line, path)) records.push(line)
        }
        shipped.set(path, offset + chunk.length)
        size += chunk.length
      }
      const commit = () => shipped.forEach((offset, path) => offsets.set(path, offset))
      if (records.length > 0) return { records, more: size >= maxBytes, commit }
      commit()
      return undefined
    },
  }
}
