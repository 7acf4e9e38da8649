import { existsSync, unlinkSync } from 'node:fs'
import { open } from 'node:fs/promises'
import type { Log } from '#base/log'
import { listSegments, type Segment } from './segments.ts'

export interface SpoolBatch {
  /** Records as lines of JSON, oldest first within a writer, never empty; good until the next batch is asked for. */
  readonly lines: Buffer
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

/** Reads what a segment holds from `offset` on, as much as `room` takes; how many bytes are whole lines. */
async function readLines(path: string, offset: number, room: Buffer): Promise<number> {
  await using file = await open(path, 'r')
  const { bytesRead } = await file.read(room, 0, room.length, offset)
  return room.subarray(0, bytesRead).lastIndexOf(10) + 1
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
  /** Used again for every batch: memory outside the heap that comes and goes has V8 mark all of the heap. */
  let room = Buffer.alloc(0)
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
  return {
    async next(maxBytes) {
      if (!existsSync(folder)) return undefined
      const shipped = new Map<string, number>()
      let size = 0
      // Each segment has the room of a whole batch: what is too long for that is no line but the end of a torn one.
      if (room.length < 2 * maxBytes) room = Buffer.allocUnsafeSlow(2 * maxBytes)
      const all = listSegments(folder)
      for (const segment of all) {
        if (size >= maxBytes) break
        const { path } = segment
        const offset = offsets.get(path) ?? 0
        // Closed is asked before reading: what is read then is all there will be.
        const closed = isClosed(segment, all)
        if (!closed && segment.bytes <= offset) continue
        const read = await readLines(path, offset, room.subarray(size, size + maxBytes))
        if (read > 0) shipped.set(path, offset + read)
        else if (closed) remove(segment, offset)
        size += read
      }
      if (size === 0) return undefined
      const commit = () => shipped.forEach((offset, path) => offsets.set(path, offset))
      return { lines: room.subarray(0, size), more: size >= maxBytes, commit }
    },
  }
}
