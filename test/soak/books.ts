// What the cloud saw against what the audit trail says: who was signed for, as whom, and whether it was recorded.
import { closeSync, existsSync, openSync, readdirSync, readSync } from 'node:fs'
import path from 'node:path'
import type { AuditRecord } from '#model/audit'
import type { CloudRequest } from '../system/stack/world.ts'

interface Entry {
  /** Times that the cloud saw it signed. */
  seen: number
  /** Start records that say that it left signed. */
  started: number
  /** Whether the process that asked got the answer of the cloud. */
  answered?: true
}

/** By what the cloud calls the operation. */
const methods: Readonly<Record<string, string>> = {
  InvokeAgent: 'POST',
  PutObject: 'PUT',
  GetObject: 'GET',
  DeleteObject: 'DELETE',
}

/** Reads what is appended to a file, whole lines only. */
class Tail {
  readonly #file: string
  #offset = 0
  #rest = ''

  constructor(file: string) {
    this.#file = file
  }

  *lines(): Generator<string> {
    if (!existsSync(this.#file)) return
    const fd = openSync(this.#file, 'r')
    const buffer = Buffer.allocUnsafe(1 << 20)
    try {
      for (let count; (count = readSync(fd, buffer, 0, buffer.length, this.#offset)) > 0;) {
        this.#offset += count
        const lines = (this.#rest + buffer.toString('latin1', 0, count)).split('\n')
        this.#rest = lines.pop()!
        yield* lines
      }
    } finally {
      closeSync(fd)
    }
  }
}

export interface BooksOptions {
  readonly accessLog: string
  readonly auditFolder: string
  /** Identities, whose role has the same name. */
  readonly identities: ReadonlySet<string>
  /** Told what must not be. */
  readonly onBroken: (what: string) => void
}

/** Who asks: workloads write their label into the path. */
function labelOf(path: string): string | undefined {
  return (/\/agentAliases\/([a-z]+)\/sessions\//.exec(path) ?? /^\/([a-z]+)\/.+$/.exec(path))?.[1]
}

export class Books {
  readonly #options: BooksOptions
  readonly #access: Tail
  readonly #trails = new Map<string, Tail>()
  readonly #entries = new Map<string, Entry>()
  signed = 0
  unsigned = 0
  starts = 0
  ends = 0

  constructor(options: BooksOptions) {
    this.#options = options
    this.#access = new Tail(options.accessLog)
  }

  /** Takes in what was written since the last time. */
  read(): void {
    for (const line of this.#access.lines()) this.#take(JSON.parse(line) as CloudRequest)
    const { auditFolder } = this.#options
    for (const name of existsSync(auditFolder) ? readdirSync(auditFolder).sort() : []) {
      const known = this.#trails.get(name)
      const trail = known ?? new Tail(path.join(auditFolder, name))
      if (!known) this.#trails.set(name, trail)
      for (const line of trail.lines()) this.#enter(JSON.parse(line) as AuditRecord)
    }
  }

  #entry(key: string): Entry {
    let entry = this.#entries.get(key)
    if (!entry) this.#entries.set(key, (entry = { seen: 0, started: 0 }))
    return entry
  }

  #take(request: CloudRequest): void {
    const { path, principal, accessKeyId, status, reason, action } = request
    const label = labelOf(path)
    if (label === undefined) return
    const { onBroken, identities } = this.#options
    const who = `${action} ${path} (${status} ${reason ?? ''})`
    if (!identities.has(label)) {
      this.unsigned += 1
      if (accessKeyId !== undefined) onBroken(`signed for nobody: ${who} as ${principal}`)
      return
    }
    if (accessKeyId === undefined) return onBroken(`an identified process got by unsigned: ${who}`)
    if (principal === undefined) return onBroken(`a signature was refused: ${who}`)
    if (!principal.includes(`:assumed-role/${label}/`)) return onBroken(`signed as ${principal}: ${who}`)
    this.signed += 1
    const entry = this.#entry(`${methods[action]} ${path}`)
    entry.seen += 1
    if (entry.seen > 1 && action === 'InvokeAgent') onBroken(`the cloud saw it twice: ${who}`)
  }

  #enter(record: AuditRecord): void {
    if (record.type === 'request.end') this.ends += 1
    if (record.type !== 'request.start' || record.decision !== 'injected') return
    if (labelOf(record.path) === undefined) return
    this.starts += 1
    const entry = this.#entry(`${record.method} ${record.path}`)
    entry.started += 1
    if (entry.started > 1) this.#options.onBroken(`recorded twice: ${JSON.stringify(record)}`)
  }

  /** A process got the cloud's answer to a request that was to be signed. */
  answered(method: string, path: string): void {
    this.#entry(`${method} ${path}`).answered = true
  }

  /** Requests that the cloud saw signed more often than there are records of. */
  unrecorded(): string[] {
    return this.#keysWhere(({ seen, started }) => seen > started)
  }

  /** Requests with a record that the cloud did not see: those that broke on their way. */
  lost(): string[] {
    return this.#keysWhere(({ seen, started }) => seen < started)
  }

  /** Answered requests that do not stand on both sides, once each. */
  unequal(): string[] {
    return this.#keysWhere(
      ({ seen, started, answered }) => answered === true && (seen !== 1 || started !== 1),
    )
  }

  #keysWhere(holds: (entry: Entry) => boolean): string[] {
    return [...this.#entries].filter(([, entry]) => holds(entry)).map(([key]) => key)
  }
}
