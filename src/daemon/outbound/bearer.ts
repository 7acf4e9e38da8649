import { isFault } from '#base/errors'
import type { Decision, Grant, Policy } from '#model/policy'
import { unusable, usableGrant, type UsableGrant } from './admission.ts'
import type { Holder } from './backlog.ts'
import type { Plane } from './plane.ts'
import type { Refusal } from './refusal.ts'
import { queryOf, type Route } from './route.ts'

/** Whose an intercepted connection is, and what that grants: one for all requests of the connection. */
export class Bearer {
  route: Route
  /** Under which the last request went; what `cut` is judged by. */
  grant: Grant | undefined
  readonly #plane: Plane
  /** The last decision and what it was based on. */
  #decided: { policy: Policy; route: Route; decision: Decision; grant: UsableGrant | undefined } | undefined

  constructor(plane: Plane, route: Route, grant: Grant | undefined) {
    this.#plane = plane
    this.route = route
    this.grant = grant
  }

  /** What is granted to whom at this moment: asked before a request is looked at, and again before it leaves. */
  authorise(): UsableGrant | Refusal | Promise<UsableGrant | Refusal> {
    return this.#plane.identifier.stillHolds(this.route.origin) ? this.#granted() : this.#identifyAgain()
  }

  #granted(): UsableGrant | Refusal {
    const { policy } = this.#plane
    const { route } = this
    let decided = this.#decided
    if (decided?.policy !== policy || decided.route !== route) {
      const decision = policy.decide(queryOf(route))
      this.#decided = decided = { policy, route, decision, grant: usableGrant(decision) }
    }
    const refusal = unusable(this.#plane, route, decided.decision)
    if (refusal) return refusal
    return (this.grant = decided.grant!)
  }

  /** SECURITY: an exec or a change of credentials on an open connection makes it somebody else's (rule 10). */
  async #identifyAgain(): Promise<UsableGrant | Refusal> {
    const { origin, identity } = this.route
    try {
      const verdict = await this.#plane.identifier.identify(origin)
      if (verdict.kind === 'identified' && verdict.identity.spiffeId === identity.spiffeId) {
        this.route = { ...this.route, identity: verdict.identity, executable: verdict.executable }
        return this.#granted()
      }
    } catch (error) {
      this.#plane.log.warn('outbound.attestation', { error })
      if (isFault(error, 'DAEMON_UNREACHABLE')) {
        return { status: 503, code: error.code, reason: error.message, closes: true }
      }
    }
    const reason = 'the process behind this connection is not the one that opened it'
    return { status: 403, code: 'ATTESTATION_FAILED', reason, closes: true }
  }
}

/** An intercepted connection under way. */
export interface Served {
  readonly bearer: Bearer
  /** Ends both halves at once, in the middle of whatever is under way. */
  cut(reason: string): void
  /** Gives up on whoever has kept it waiting for too long at monotonic time `now`. */
  sweep(now: number): void
  /** What waits in our memory because of it. */
  readonly holders: Iterable<Holder>
}
