import { closeSync, openSync, writeSync } from 'node:fs'

/** One line of the access log. It never holds a secret, a token, a query or a body. */
export interface AccessRecord {
  /** RFC 3339. */
  readonly at: string
  readonly service: string
  readonly action: string
  readonly host: string
  /** Without its query. */
  readonly path: string
  readonly status: number
  /** ARN of who the signature verified as; absent when nobody did. */
  readonly principal?: string
  readonly sessionName?: string
  /** As claimed, verified or not. */
  readonly accessKeyId?: string
  /** Why it was refused: code and message. */
  readonly reason?: string
}

export interface AccessLog extends Disposable {
  /** Writes before it returns: a client that has its answer finds the record. */
  record(entry: AccessRecord): void
}

/** Appends NDJSON to a file of mode 0600. The file grows until the emulator ends: demos and tests are short. */
export function openAccessLog(path: string): AccessLog {
  const fd = openSync(path, 'a', 0o600)
  let open = true
  return {
    // A request still under way when the emulator ends has lost its client already.
    record: (entry) => void (open && writeSync(fd, `${JSON.stringify(entry)}\n`)),
    [Symbol.dispose]() {
      open = false
      closeSync(fd)
    },
  }
}
