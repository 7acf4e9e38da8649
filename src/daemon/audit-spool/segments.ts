import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

/**
 * A spool is a folder of segments `WRITER.NUMBER.jsonl`. A writer appends to its highest-numbered segment only;
 * a reader removes what it has shipped, never the segment that a living writer appends to.
 */
export interface Segment {
  readonly writer: string
  readonly number: number
  readonly path: string
  readonly bytes: number
}

export function segmentPath(folder: string, writer: string, number: number): string {
  return join(folder, `${writer}.${String(number).padStart(12, '0')}.jsonl`)
}

/**
 * All segments of a folder by number: each writer's in order, and those of a writer with much to say not before
 * those of the others.
 */
export function listSegments(folder: string): readonly Segment[] {
  return readdirSync(folder)
    .flatMap((name) => {
      const match = /^([a-z0-9-]+)\.(\d{12})\.jsonl$/.exec(name)
      const path = join(folder, name)
      const bytes = match && statSync(path, { throwIfNoEntry: false })?.size
      return match && bytes !== undefined && bytes !== null
        ? [{ writer: match[1]!, number: Number(match[2]), path, bytes }]
        : []
    })
    .sort((one, other) => one.number - other.number)
}
