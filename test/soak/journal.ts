// What happened, for who looks into a failure: lines in a folder that stays when there was one.
import { appendFileSync, cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { systemClock } from '#base/clock'
import type { World } from '../system/stack/world.ts'

/** Failures that are told; what comes after them mostly comes from them. */
const maxTold = 10

export interface Journal extends Disposable {
  /** Why the soak has failed, if it has. */
  readonly failures: readonly string[]
  /** Aborts with the first failure. */
  readonly failed: AbortSignal
  note(what: string, fields: object): void
  /** An invariant does not hold. */
  broken(what: string): void
  /** Copies logs and records of the stack, if there was a failure. */
  keep(world: World): void
}

export function openJournal(): Journal {
  const folder = mkdtempSync(path.join(tmpdir(), 'tideway-soak-'))
  const file = path.join(folder, 'soak.ndjson')
  const failures: string[] = []
  const failed = new AbortController()
  const note: Journal['note'] = (what, fields) => {
    const at = new Date(systemClock.now()).toISOString()
    appendFileSync(file, `${JSON.stringify({ at, what, ...fields })}\n`)
  }
  return {
    failures,
    failed: failed.signal,
    note,
    broken(what) {
      note('broken', { what })
      failures.push(what)
      if (failures.length <= maxTold) console.error(`BROKEN: ${what}`)
      failed.abort()
    },
    keep({ layout }) {
      if (failures.length === 0) return
      cpSync(layout.logs, path.join(folder, 'logs'), { recursive: true })
      cpSync(path.join(layout.emulatorState, 'access.ndjson'), path.join(folder, 'access.ndjson'))
      cpSync(path.join(layout.serverData, 'audit'), path.join(folder, 'audit'), { recursive: true })
    },
    [Symbol.dispose]() {
      if (failures.length === 0) rmSync(folder, { recursive: true })
      else console.error(`${failures.length} failures; logs and records: ${folder}`)
    },
  }
}
