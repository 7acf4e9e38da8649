import { Fault } from '#base/errors'

/** `injected`: left with a credential. `refused`: answered by the daemon. `cut`: stopped while under way. */
export type AuditDecision = 'injected' | 'refused' | 'cut'

/** Written before the signed head goes upstream, and for every refusal. */
export interface RequestStart {
  readonly type: 'request.start'
  /** Unique id that the end record repeats. */
  readonly id: string
  /** RFC 3339 with milliseconds. */
  readonly at: string
  /** Name of the Daemon object; filled in by the server for shipped records. */
  readonly node?: string
  readonly spiffeId?: string
  readonly identity?: string
  readonly pid: number
  readonly uid: number
  readonly executable?: string
  readonly method: string
  /** Host name that was verified, and port. */
  readonly host: string
  readonly port: number
  /** Path without query values. */
  readonly path: string
  readonly binding?: string
  readonly credentialSource?: string
  /** Public id of the credential used, such as an AWS access key ID. */
  readonly credentialId?: string
  readonly decision: AuditDecision
  /** Why, for a refusal: a fault code and its operator's message. */
  readonly reason?: string
}

export interface RequestEnd {
  readonly type: 'request.end'
  readonly id: string
  readonly at: string
  readonly node?: string
  /** HTTP status from upstream; 0 when none came. */
  readonly status: number
  readonly requestBytes: number
  readonly responseBytes: number
  readonly durationMs: number
  readonly reason?: string
}

/** A write through the resource API, an exchange, a rotation, a join: what the control plane did and for whom. */
export interface ChangeRecord {
  readonly type: 'change'
  readonly id: string
  readonly at: string
  /** `system:admin`, a SPIFFE ID, or `tideway:<controller>`. */
  readonly actor: string
  /** Groups of the actor, beside those of everyone. */
  readonly groups?: readonly string[]
  /** As whom the actor made the request, if as somebody else (`kubectl --as`). */
  readonly as?: string
  /** How the actor was known: `bootstrap`, `service-account`, `oidc:NAME`. */
  readonly provider?: string
  /** Field manager or program by which the actor wrote, such as `kubectl-edit`. */
  readonly by?: string
  /** `create`, `update`, `patch`, `apply`, `delete`, `exchange`, `rotate`, `join`, ... */
  readonly verb: string
  /** `kind/name`. */
  readonly object: string
  readonly namespace?: string
  /** Paths of the fields that an update changed, never their values. */
  readonly changed?: readonly string[]
  readonly outcome: 'ok' | 'refused' | 'failed'
  readonly message?: string
}

export type AuditRecord = RequestStart | RequestEnd | ChangeRecord

/** Parses one line of a spool. @throws Fault WIRE_MALFORMED */
export function parseAuditRecord(line: string): AuditRecord {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch (error) {
    throw new Fault('WIRE_MALFORMED', 'audit record is not JSON', { cause: error })
  }
  const { type, id, at } = (value ?? {}) as Record<string, unknown>
  const known = type === 'request.start' || type === 'request.end' || type === 'change'
  if (!known || typeof id !== 'string' || typeof at !== 'string') {
    throw new Fault('WIRE_MALFORMED', 'audit record lacks type, id or at')
  }
  return value as AuditRecord
}
