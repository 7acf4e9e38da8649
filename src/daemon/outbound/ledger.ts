import type { Clock, EpochMs } from '#base/clock'
import { toFault } from '#base/errors'
import {
  formatCircumstances,
  formatEnd,
  formatStart,
  type AuditDecision,
  type RequestEnd,
} from '#model/audit'
import { credentialId } from '#model/credential'
import type { Grant } from '#model/policy'
import type { RequestHead } from '#wire/http1'
import type { Conditions } from './conditions.ts'
import type { AuditSink } from './ports.ts'
import type { Route } from './route.ts'

/** What a start record is about. Without `head` it is a connection between two requests. */
export interface Entry {
  readonly route: Route
  readonly head: RequestHead | undefined
  readonly grant: Grant | undefined
  readonly decision: AuditDecision
  readonly reason?: string
}

/** Writes the audit records of a data plane (security rule 24). */
export interface Ledger {
  /** Resolves with its id once the record is kept: only then may the request leave. @throws what the sink throws */
  start(entry: Entry): Promise<string>
  /** The same for what happens in any case: a failure shows in the conditions only. */
  note(entry: Entry): Promise<void>
  end(
    id: string,
    result: Pick<RequestEnd, 'status'> & Partial<Omit<RequestEnd, 'type' | 'id' | 'at' | 'node'>>,
  ): void
}

/** Paths are recorded up to this length. */
const maxPath = 1024

export function openLedger({
  clock,
  audit,
  conditions,
  random,
}: {
  clock: Clock
  audit: AuditSink
  conditions: Conditions
  random: (size: number) => Buffer
}): Ledger {
  const prefix = random(9).toString('base64url')
  let lastId = 0
  /** Identities that had no more room when they were last heard of, where others had. */
  const short = new Set<string>()
  let formatted = { at: Number.NaN, text: '' }
  /** Of each connection, for the grant that its last record was about. */
  const circumstances = new WeakMap<Route, { readonly grant: Grant | undefined; readonly text: string }>()

  /** RFC 3339 with milliseconds; the last one is remembered, as requests come many to a millisecond. */
  function timestamp(at: EpochMs): string {
    const whole = Math.floor(at)
    if (formatted.at !== whole) formatted = { at: whole, text: new Date(whole).toISOString() }
    return formatted.text
  }

  function circumstancesOf(route: Route, grant: Grant | undefined): string {
    const known = circumstances.get(route)
    if (known && known.grant === grant) return known.text
    const { origin, identity, executable, host, port } = route
    const text = formatCircumstances({
      spiffeId: identity.spiffeId,
      identity: identity.name,
      pid: origin.process.pid,
      uid: origin.process.uid,
      executable,
      host,
      port,
      ...(grant && { binding: grant.binding.name, credentialSource: grant.binding.sourceName }),
      ...(grant?.credential && { credentialId: credentialId(grant.credential.credential) }),
    })
    circumstances.set(route, { grant, text })
    return text
  }

  function start({ route, head, grant, decision, reason }: Entry): Promise<string> {
    const id = `${prefix}${(lastId += 1).toString(36)}`
    const at = timestamp(clock.now())
    const method = head?.method ?? '-'
    const path = head ? pathOf(head).slice(0, maxPath) : '-'
    const line = formatStart({ id, at, method, path, decision, reason }, circumstancesOf(route, grant))
    const { name, spiffeId } = route.identity
    return audit.start(line, spiffeId).then(
      () => {
        conditions.clear('daemon', 'AuditAvailable')
        if (short.delete(name)) conditions.clear(`workloadidentity/${name}`, 'AuditAvailable')
        return id
      },
      (error: unknown) => {
        const { code, message } = toFault(error, 'AUDIT_UNAVAILABLE')
        const isShort = code === 'BUFFERS_EXHAUSTED'
        if (isShort) short.add(name)
        const subject = isShort ? `workloadidentity/${name}` : 'daemon'
        conditions.raise(subject, 'AuditAvailable', code, message)
        throw error
      },
    )
  }

  return {
    start,
    async note(entry) {
      await start(entry).catch(() => {})
    },
    end(id, { status, requestBytes = 0, responseBytes = 0, durationMs = 0, reason }) {
      const at = timestamp(clock.now())
      audit.end(formatEnd({ id, at, status, requestBytes, responseBytes, durationMs, reason }))
    },
  }
}

/** The path of a request without its query. */
function pathOf({ target }: RequestHead): string {
  const mark = target.indexOf('?')
  return mark < 0 ? target : target.slice(0, mark)
}
