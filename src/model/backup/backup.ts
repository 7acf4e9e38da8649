import { createHash } from 'node:crypto'
import { Fault } from '#base/errors'

const format = 'tideway-backup'
/** Of the file, and of what is in the values: raised whenever an older program must not take it. */
const version = 1

export interface BackupEntry {
  readonly key: string
  readonly value: Uint8Array
}

/** What precedes the entries: revision of the store that was copied, and when. */
export interface BackupHeader {
  readonly revision: number
  /** ISO 8601. */
  readonly createdAt: string
}

/** The lines of a backup, each with its line feed. */
export function* backupLines(header: BackupHeader, entries: Iterable<BackupEntry>): Generator<string> {
  const hash = createHash('sha256')
  const line = (value: object) => {
    const text = `${JSON.stringify(value)}\n`
    hash.update(text)
    return text
  }
  let count = 0
  yield line({ format, version, ...header })
  for (const { key, value } of entries) {
    count++
    yield line({ key, value: Buffer.from(value).toString('base64') })
  }
  yield `${JSON.stringify({ entries: count, sha256: hash.digest('hex') })}\n`
}

/** Takes a backup line by line. @throws Fault BACKUP_INVALID when it is none, damaged, cut off or of a newer version */
export interface BackupReader {
  /** The entry of a line, without its line feed; undefined for the first and the last line. */
  push(line: string): BackupEntry | undefined
  /** Says that no more lines come. */
  end(): BackupHeader & { readonly entries: number }
}

const invalid = (message: string, hint?: string) =>
  new Fault('BACKUP_INVALID', message, hint === undefined ? {} : { hint })

function parseLine(line: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line)
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>
  } catch {
    // Said below: the parser's own words quote the line.
  }
  throw invalid('a line of the backup is damaged', 'use another copy')
}

function parseHeader(line: string): BackupHeader {
  let value: Record<string, unknown> = {}
  if (line.startsWith('{')) value = parseLine(line)
  if (value['format'] !== format) throw invalid('the file is no backup of Tideway')
  if (typeof value['version'] !== 'number' || value['version'] > version) {
    throw invalid(
      `the backup was written by a newer version (format ${String(value['version'])}, this version knows ${version})`,
      'restore it with the version that wrote it, or a newer one',
    )
  }
  const { revision, createdAt } = value
  if (!Number.isSafeInteger(revision) || typeof createdAt !== 'string') throw invalid('the backup is damaged')
  return { revision: revision as number, createdAt }
}

export function openBackupReader(): BackupReader {
  const hash = createHash('sha256')
  let header: BackupHeader | undefined
  let entries = 0
  let whole = false
  return {
    push(line) {
      if (whole) throw invalid('the backup goes on after its end', 'use another copy')
      if (!header) {
        header = parseHeader(line)
        hash.update(`${line}\n`)
        return undefined
      }
      const { key, value, ...last } = parseLine(line)
      if (typeof key === 'string' && typeof value === 'string') {
        hash.update(`${line}\n`)
        entries++
        return { key, value: Buffer.from(value, 'base64') }
      }
      if (last['entries'] !== entries || last['sha256'] !== hash.digest('hex')) {
        throw invalid('the backup is damaged: its check sum is another', 'use another copy')
      }
      whole = true
      return undefined
    },
    end() {
      if (!header || !whole) throw invalid('the backup is cut off', 'use another copy')
      return { ...header, entries }
    },
  }
}
