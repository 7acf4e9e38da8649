import { constants } from 'node:fs'
import { open, readdir, rm, unlink, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'

/** One file of the trail. Bytes after `bytes` are not committed and must not be read. */
export interface Segment {
  readonly number: number
  readonly path: string
  bytes: number
  records: number
}

const newline = 0x0a

function segmentAt(directory: string, number: number): Segment {
  const path = join(directory, `${String(number).padStart(10, '0')}.jsonl`)
  return { number, path, bytes: 0, records: 0 }
}

/** Creates the file of a segment, or opens it again, for writing. */
export function openSegmentFile(segment: Segment): Promise<FileHandle> {
  return open(segment.path, constants.O_WRONLY | constants.O_CREAT, 0o600)
}

/** Creates the segment that follows `last`; its directory entry is on disk when this resolves. */
export async function createSegment(
  directory: string,
  last: Segment | undefined,
): Promise<{ segment: Segment; file: FileHandle }> {
  const segment = segmentAt(directory, (last?.number ?? 0) + 1)
  const file = await openSegmentFile(segment)
  await using entries = await open(directory, 'r')
  await entries.sync()
  return { segment, file }
}

export async function removeSegment(segment: Segment): Promise<void> {
  await unlink(segment.path)
}

/**
 * Writes at the end of the segment and waits for the disk. By position, so that what a failed write left
 * behind is overwritten by the next.
 */
export async function writeSegment(file: FileHandle, segment: Segment, bytes: Buffer): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    const rest = bytes.length - written
    written += (await file.write(bytes, written, rest, segment.bytes + written)).bytesWritten
  }
  await file.datasync()
}

/**
 * Whether there is room for another record or two. Tried in a file of its own: what ships the trail reads the others
 * as they grow, and takes whatever is in them for records.
 * @throws Error of the file system when there is none
 */
export async function probeRoom(directory: string): Promise<void> {
  const path = join(directory, 'probe')
  try {
    await using file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC, 0o600)
    await file.writeFile(Buffer.alloc(4096))
    await file.datasync()
  } finally {
    await rm(path, { force: true })
  }
}

/** The segments of a directory, oldest first; what a crash left behind the last whole line of one is cut off. */
export async function recoverSegments(directory: string): Promise<Segment[]> {
  const numbers = (await readdir(directory))
    .flatMap((name) => /^(\d{10})\.jsonl$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b)
  const segments: Segment[] = []
  for (const number of numbers) {
    const segment = segmentAt(directory, number)
    await using file = await open(segment.path, 'r+')
    const { size } = await file.stat()
    for await (const line of linesBetween(file, 0, size)) {
      segment.bytes += line.length + 1
      segment.records++
    }
    if (segment.bytes < size) await file.truncate(segment.bytes)
    segments.push(segment)
  }
  return segments
}

/** The whole lines between two offsets of a file, without their newlines. */
export async function* linesBetween(file: FileHandle, start: number, end: number): AsyncIterable<Buffer> {
  let rest: Buffer = Buffer.alloc(0)
  for (let offset = start; offset < end;) {
    const chunk = Buffer.allocUnsafe(Math.min(64 * 1024, end - offset))
    const { bytesRead } = await file.read(chunk, 0, chunk.length, offset)
    if (bytesRead === 0) return
    offset += bytesRead
    rest = Buffer.concat([rest, chunk.subarray(0, bytesRead)])
    for (let at = rest.indexOf(newline); at >= 0; at = rest.indexOf(newline)) {
      yield rest.subarray(0, at)
      rest = rest.subarray(at + 1)
    }
  }
}
