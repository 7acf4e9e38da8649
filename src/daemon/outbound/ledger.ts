import type { Clock, EpochMs } from '#base/clock'
import { toFault } from '#base/errors'
import type { AuditDecision, RequestEnd, RequestStart } from '#model/audit'
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
  /** Resolves once the record is kept: only then may the request leave. @throws what the sink throws */
  start(entry: Entry): Promise<RequestStart>
  /** The same for what happens in any case: a failure shows in the conditions only. */
  note(entry: Entry): Promise<void>
  end(
    start: RequestStart,
    result: Pick<RequestEnd, 'status'> & Partial<Omit<RequestEnd, 'type' | 'id' | 'at'>>,
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
  let formatted = { at: Number.NaN, text: '' }

  /** RFC 3339 with milliseconds; the last one is remembered, as requests come many to a millisecond. */
  function timestamp(at: EpochMs): string {
    const whole = Math.floor(at)
    if (formatted.at !== whole) formatted = { at: whole, text: new Date(whole).toISOString() }
    return formatted.text
  }

  function recordOf({ route, head, grant, decision, reason }: Entry): RequestStart {
    const { origin, identity, executable, host, port } = route
    return {
      type: 'request.start',
      id: `${prefix}${(lastId += 1).toString(36)}`,
      at: timestamp(clock.now()),
      spiffeId: identity.spiffeId,
      identity: identity.name,
      pid: origin.process.pid,
      uid: origin.process.uid,
      executable,
      method: head?.method ?? '-',
      host,
      port,
      path: head ? pathOf(head).slice(0, maxPath) : '-',
      ...(grant && { binding: grant.binding.name, credentialSource: grant.binding.sourceName }),
      ...(grant?.credential && { credentialId: credentialId(grant.credential.credential) }),
      decision,
      ...(reason !== undefined && { reason }),
    }
  }

  function start(entry: Entry): Promise<RequestStart> {
    const record = recordOf(entry)
    return audit.start(record).then(
      () => {
        conditions.clear('daemon', 'AuditAvailable')
        return record
      },
      (error: unknown) => {
        const { code, message } = toFault(error, 'AUDIT_UNAVAILABLE')
        conditions.raise('daemon', 'AuditAvailable', code, message)
        throw error
      },
    )
  }

  return {
    start,
    async note(entry) {
      await start(entry).catch(() => {})
    },
    end({ id }, result) {
      const at = timestamp(clock.now())
      audit.end({ type: 'request.end', id, at, requestBytes: 0, responseBytes: 0, durationMs: 0, ...result })
    },
  }
}

/** The path of a request without its query. */
function pathOf({ target }: RequestHead): string {
  const mark = target.indexOf('?')
  return mark < 0 ? target : target.slice(0, mark)
}
