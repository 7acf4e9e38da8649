import { open, type FileHandle } from 'node:fs/promises'
import type { Bell } from '#base/lifecycle'
import { parseAuditRecord, type AuditRecord } from '#model/audit'
import { linesBetween, type Segment } from './segments.ts'

/** Undefined for a damaged line: one bad sector must not hide the rest of the trail. */
export function parseLine(line: Buffer): AuditRecord | undefined {
  try {
    return parseAuditRecord(line.toString('utf8'))
  } catch {
    return undefined
  }
}

/** Where the newest `limit` records begin: a segment's number and how many of its records to pass over. */
function startOf(segments: readonly Segment[], limit: number): { number: number; skip: number } {
  let index = Math.max(0, segments.length - 1)
  let skip = (segments[index]?.records ?? 0) - limit
  while (skip < 0 && index > 0) skip += segments[--index]!.records
  return { number: segments[index]?.number ?? 1, skip: Math.max(0, skip) }
}

/** Undefined when the segment has been removed meanwhile: the reader goes on with the next. */
async function openForReading(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/**
 * Reads from the files as far as they are committed: a slow reader costs no memory, and one that falls behind
 * the oldest segment goes on there. `segments` is live; `committed` rings after each write.
 */
export async function* readSegments(
  segments: readonly Segment[],
  committed: Bell,
  { limit, follow, signal }: { limit: number; follow: boolean; signal: AbortSignal },
): AsyncIterable<AuditRecord> {
  let { number, skip } = startOf(segments, limit)
  let offset = 0
  const goTo = (next: number) => {
    number = next
    offset = skip = 0
  }
  while (!signal.aborted) {
    const heard = committed.rings
    const segment = segments.find((candidate) => candidate.number >= number)
    if (segment && segment.number > number) goTo(segment.number)
    if (segment && segment.bytes > offset) {
      const end = segment.bytes
      await using file = await openForReading(segment.path)
      if (!file) {
        goTo(number + 1)
        continue
      }
      for await (const line of linesBetween(file, offset, end)) {
        offset += line.length + 1
        if (skip-- > 0) continue
        if (signal.aborted) return
        const record = parseLine(line)
        if (record) yield record
      }
    } else if (segment && segment !== segments.at(-1)) {
      goTo(number + 1)
    } else if (follow) {
      await committed.after(heard, signal)
    } else {
      return
    }
  }
}
