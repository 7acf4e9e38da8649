import { existsSync, unlinkSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { isFault } from '#base/errors'
import type { Log } from '#base/log'
import { parseAuditRecord } from '#model/audit'
import { listSegments, type Segment } from './segments.ts'

export interface SpoolBatch {
  /** Records as JSON, oldest first within a writer; never empty. */
  readonly records: readonly string[]
  /** They have arrived: never yields them again in this run, and removes segments that are done. */
  commit(): void
}

export interface SpoolReader {
  /** The next records, at most about `maxBytes` of them; undefined when all have been shipped. */
  next(maxBytes: number): Promise<SpoolBatch | undefined>
}

/** What a segment holds from `offset` on, up to its last whole line. */
async function readLines(path: string, offset: number, maxBytes: number): Promise<Buffer> {
  await using file = await open(path, 'r')
  const { buffer, bytesRead } = await file.read(Buffer.alloc(maxBytes), 0, maxBytes, offset)
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
      // Closed is asked before reading: what is read then is all there will be.
      const all = listSegments(folder)
      for (const segment of all) {
        const closed = isClosed(segment, all)
        const offset = offsets.get(segment.path) ?? 0
        const chunk = await readLines(segment.path, offset, maxBytes)
        if (chunk.length === 0) {
          if (closed) remove(segment, offset)
          continue
        }
        const lines = chunk.toString('utf8').trimEnd().split('\n')
        const records = lines.filter((line) => legible(line, segment.path))
        const commit = () => void offsets.set(segment.path, offset + chunk.length)
        if (records.length > 0) return { records, commit }
        commit()
      }
      return undefined
    },
  }
}
