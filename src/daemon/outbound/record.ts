import type { EpochMs } from '#base/clock'
import type { AuditDecision, RequestStart } from '#model/audit'
import type { Grant } from '#model/policy'
import type { Route } from './route.ts'

/** Paths are recorded up to this length. */
const maxPath = 1024

/** The start record of a request, or of a connection that was cut between two (`method` and `path` are `-` then). */
export function startRecord(
  route: Route,
  {
    id,
    at,
    method = '-',
    path = '-',
    grant,
    decision,
    reason,
  }: {
    id: string
    at: EpochMs
    method?: string | undefined
    path?: string | undefined
    grant: Grant | undefined
    decision: AuditDecision
    reason?: string
  },
): RequestStart {
  const { origin, identity, executable, host, port } = route
  return {
    type: 'request.start',
    id,
    at: formatTime(at),
    spiffeId: identity.spiffeId,
    identity: identity.name,
    pid: origin.process.pid,
    uid: origin.process.uid,
    executable,
    method,
    host,
    port,
    path: path.slice(0, maxPath),
    ...(grant && { binding: grant.binding.name, credentialSource: grant.binding.sourceName }),
    ...(grant?.credential && { credentialId: grant.credential.credential.accessKeyId }),
    decision,
    ...(reason !== undefined && { reason }),
  }
}

let formatted = { at: Number.NaN, text: '' }

/** RFC 3339 with milliseconds; the last one is remembered, as requests come many to a millisecond. */
export function formatTime(at: EpochMs): string {
  const whole = Math.floor(at)
  if (formatted.at !== whole) formatted = { at: whole, text: new Date(whole).toISOString() }
  return formatted.text
}
