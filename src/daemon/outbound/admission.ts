import { hash } from 'node:crypto'
import type { Credential } from '#model/credential'
import type { Decision, Grant } from '#model/policy'
import {
  askedRegionSet,
  decidePayload,
  isCredentialIssuance,
  issuanceNeedsBody,
  unsignedPayload,
  type PayloadDecision,
  type SigningScope,
} from '#model/signing'
import { isFault } from '#base/errors'
import { isLoopback } from '#base/settings'
import type { RequestHead } from '#wire/http1'
import { addressOf } from './address.ts'
import { holdBody } from './body.ts'
import type { Budget } from './bounds.ts'
import { openChunkResigner } from './chunk-resigner.ts'
import { openEventResigner } from './event-resigner.ts'
import type { Link } from './link.ts'
import type { Plane } from './plane.ts'
import type { Refusal } from './refusal.ts'
import { queryOf, type Route } from './route.ts'
import type { Admitted, SignatureParts } from './signed-head.ts'

/** A grant whose credential can be used now. */
export interface UsableGrant extends Grant {
  readonly current: Credential
}

export function isRefusal(value: object): value is Refusal {
  return 'status' in value
}

/** Why a decision of the policy cannot be used at this moment; undefined when lease and credential hold. */
export function unusable(plane: Plane, route: Route, decision: Decision): Refusal | undefined {
  if (!plane.leaseHolds()) {
    return {
      status: 503,
      code: 'CREDENTIAL_UNAVAILABLE',
      reason:
        'the daemon has not heard from its control plane for longer than the offline lease: see `tideway ctl get daemons`',
    }
  }
  if (decision.action === 'refuse') return { status: 403, code: decision.code, reason: decision.reason }
  if (decision.action === 'splice') {
    const reason = `no binding of ${route.identity.name} names ${route.host} any more: open a new connection`
    return { status: 403, code: 'REQUEST_REFUSED', reason, closes: true }
  }
  const { binding, credential } = decision
  const expired = credential !== undefined && credential.credential.expiresAt <= plane.clock.now()
  if (credential && !expired) return undefined
  const what = expired ? 'the credential has expired' : 'there is no credential yet'
  return {
    status: 503,
    code: 'CREDENTIAL_UNAVAILABLE',
    reason: `${what} for binding ${binding.name} from source ${binding.sourceName}: see \`tideway ctl describe credentialbinding ${binding.name}\``,
  }
}

/** The grant of a decision that injects and has a credential. */
export function usableGrant(decision: Decision): UsableGrant | undefined {
  if (decision.action !== 'inject' || !decision.credential) return undefined
  return { ...decision, current: decision.credential.credential }
}

/** SECURITY: what was admitted for a signature may not carry a token: other rules hold for one. */
export function sameKind(grant: UsableGrant | Refusal, admittedUnder: UsableGrant): UsableGrant | Refusal {
  if (isRefusal(grant) || grant.current.kind === admittedUnder.current.kind) return grant
  const reason = 'the credential was replaced by one of another kind: send the request again'
  return { status: 503, code: 'CREDENTIAL_UNAVAILABLE', reason }
}

/** The scope that the Service declares, completed from what the host name implies and the client asks for. */
function scopeFor(
  { service }: Grant,
  { host, implied }: Route,
  regionSet = implied?.regionSet,
): SigningScope | Refusal {
  if (!service.signing && implied && implied.regionSet === regionSet) return implied
  const name = service.signing?.service ?? implied?.service
  const region = service.signing?.region ?? implied?.region
  if (name !== undefined && region !== undefined) {
    return { service: name, region, ...(regionSet !== undefined && { regionSet }) }
  }
  return {
    status: 501,
    code: 'SIGNING_UNSUPPORTED',
    reason: `the name ${host} does not tell service and region: set spec.signing of Service ${service.name}`,
  }
}

/** Whether a plain-text request may name `name` though its connection was admitted for another host. */
function sharesBinding(plane: Plane, route: Route, grant: Grant, name: string): boolean {
  if (route.tls) return false
  const other = plane.policy.decide({ ...queryOf(route), host: name })
  return (
    other.action === 'inject' &&
    other.binding.name === grant.binding.name &&
    other.service.name === grant.service.name
  )
}

function unsupported(status: number, reason: string): Refusal {
  return { status, code: 'SIGNING_UNSUPPORTED', reason }
}

/**
 * SECURITY: a token or password is good for whoever reads it, a signature is not: beyond this machine it goes in plain
 * text only where the Service says so.
 */
function exposure({ tls, host, origin }: Route, { service }: Grant): Refusal | undefined {
  if (tls || service.allowPlainText === true) return undefined
  if (isLoopback(origin.destination.address ?? host)) return undefined
  const reason = `the credential would go to ${host} in plain text, which Service ${service.name} does not allow`
  return { status: 403, code: 'REQUEST_REFUSED', reason }
}

/** Reads the body whole, after the go-ahead to a client that waits for one. */
async function hold(
  client: Link,
  head: RequestHead,
  bounds: { limit: number; budget: Budget; overflow: string; onProgress: () => void },
): Promise<Buffer | Refusal> {
  if (head.expectContinue) void client.write(Buffer.from('HTTP/1.1 100 Continue\r\n\r\n'))
  try {
    const body = await holdBody(client, head.framing, bounds)
    if (body.kind === 'held') return body.payload
    if (body.kind === 'too-large') return { ...unsupported(413, bounds.overflow), closes: true }
    if (body.kind === 'gone')
      return { status: 400, code: 'WIRE_MALFORMED', reason: 'the body is incomplete', closes: true }
    return {
      status: 503,
      code: 'BUFFERS_EXHAUSTED',
      reason: 'the daemon holds too many bodies at once',
      closes: true,
    }
  } catch (error) {
    if (!isFault(error)) throw error
    return { status: 400, code: error.code, reason: error.message, closes: true }
  }
}

/**
 * Decides whether and how a request is signed; reads its body where the signature or the decision needs it, which
 * takes its time: `onProgress` is called as it comes. Bytes of a body that is returned count as held by the identity.
 */
export function admit(
  plane: Plane,
  client: Link,
  {
    head,
    route,
    grant,
    onProgress,
  }: { head: RequestHead; route: Route; grant: UsableGrant; onProgress: () => void },
): Admitted | Refusal | Promise<Admitted | Refusal> {
  const address = addressOf(head, route, (name) => sharesBinding(plane, route, grant, name))
  if (isRefusal(address)) return address
  if (grant.current.kind !== 'aws') return exposure(route, grant) ?? { head, address }
  const { headers, framing } = head
  const scope = scopeFor(grant, route, askedRegionSet(headers, address.query))
  if (isRefusal(scope)) return scope
  const bufferLimit = plane.limits.maxBufferedBody
  const payload = decidePayload({ headers, query: address.query, framing }, scope, { bufferLimit })
  if (payload.mode === 'refuse') return unsupported(501, payload.reason)

  const call = { method: head.method, ...address, headers }
  const budget = plane.held.budgetOf(route.identity.spiffeId)
  const asksBody = !grant.binding.allowCredentialIssuance && issuanceNeedsBody(scope.service, call)
  if (asksBody && payload.mode === 'streaming') {
    return unsupported(
      501,
      `a body in parts (${payload.hash}) cannot be told from a call that returns credentials`,
    )
  }
  const conclude = (body: Buffer | undefined): Admitted | Refusal => {
    const bodyText = asksBody ? body?.toString('latin1') : undefined
    const issues = isCredentialIssuance(scope.service, bodyText === undefined ? call : { ...call, bodyText })
    if (issues && !grant.binding.allowCredentialIssuance) {
      budget.give(body?.length ?? 0)
      return {
        status: 403,
        code: 'REQUEST_REFUSED',
        reason: `the call would return credentials: set spec.allowCredentialIssuance of binding ${grant.binding.name} to allow it`,
      }
    }
    const resign = resignerFor(plane, payload, budget)
    return {
      head,
      address,
      signature: { scope, payloadHash: hashOf(payload, body), ...(resign && { resign }) },
      ...(body && { body }),
    }
  }
  if (payload.mode !== 'buffer' && !asksBody) return conclude(undefined)
  const overflow = 'the body has to be read to tell whether the call returns credentials, and is too large'
  const bounds = payload.mode === 'buffer' ? payload : { limit: bufferLimit, overflow }
  return hold(client, head, { ...bounds, budget, onProgress }).then((held) =>
    Buffer.isBuffer(held) ? conclude(held) : held,
  )
}

/** What makes the signatures within a body ours; undefined where it has none. */
function resignerFor(
  { clock, limits }: Plane,
  payload: PayloadDecision,
  budget: Budget,
): SignatureParts['resign'] {
  if (payload.mode !== 'streaming' || payload.parts === 'as-is') return undefined
  const bounds = { limit: limits.maxBufferedBody, budget }
  if (payload.parts === 'events') return (seed) => openEventResigner(seed, { ...bounds, clock })
  return (seed) => openChunkResigner(seed, bounds)
}

function hashOf(payload: PayloadDecision, body: Buffer | undefined): string {
  if (payload.mode === 'declared-hash' || payload.mode === 'streaming') return payload.hash
  return payload.mode === 'unsigned' ? unsignedPayload : hash('sha256', body!)
}
