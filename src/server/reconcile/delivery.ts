import type { SpiffeId } from '#model/identity'
import {
  credentialKey,
  emptyScope,
  type Scope,
  type ScopeKeys,
  type ScopedBinding,
  type ScopedCredential,
  type ScopeUpdate,
} from '#model/scope'
import { deltaBetween, newCredentials, touchedBindings, type Delta } from './scope-delta.ts'

interface Unsent {
  readonly delta: Delta
  /** Names of the bindings that it touches. */
  readonly bindings: ReadonlySet<string>
}

interface LeftOut {
  readonly workloads: ReadonlySet<SpiffeId>
  readonly services: ReadonlySet<string>
  readonly bindings: ReadonlySet<string>
  readonly credentials: ReadonlySet<string>
}

const nothing = { identities: [], services: [], bindings: [], credentials: [] }
const noUpdate: Unsent = { delta: { upsert: nothing, remove: nothing }, bindings: new Set() }

/** How far one daemon is with its scope: what it should have, what it was sent, and what of that is in effect. */
export class Delivery {
  #wanted = emptyScope
  #sent = emptyScope
  /** What is yet to be sent. */
  #unsent: Unsent | undefined
  /** The newest revision that it was sent, and the newest that is in effect. */
  revision = 0
  acknowledged = 0
  /** Why the daemon could not put the newest update into effect, or not all that it was sent. */
  error: string | undefined
  /** By binding name and credential key: the revision from which on it is in effect. */
  readonly #bindingSince = new Map<string, number>()
  readonly #credentialSince = new Map<string, number>()
  /** What the daemon could not read of what is in effect. */
  #leftOut: LeftOut | undefined
  /** Names of the bindings that what was sent since the newest acknowledgement bears on. */
  readonly #awaited = new Set<string>()

  /** What the daemon should have. */
  get wanted(): Scope {
    return this.#wanted
  }

  get isAllSent(): boolean {
    return this.#unsent === undefined
  }

  /** Says what the daemon should have from now on. */
  want(wanted: Scope): void {
    const delta = deltaBetween(this.#sent, wanted)
    this.#wanted = delta ? wanted : this.#sent
    this.#unsent = delta && { delta, bindings: new Set(touchedBindings(wanted, delta)) }
  }

  /**
   * Gives what is yet to be sent, which may be nothing, and notes it as sent; the first update is the whole. `bereft`:
   * the bindings that it takes a credential away from.
   */
  send(): { update: ScopeUpdate; bereft: readonly ScopedBinding[] } {
    const { delta, bindings } = this.#unsent ?? noUpdate
    const before = this.#sent
    const revision = ++this.revision
    const arriving = newCredentials(before, delta)
    const lost = delta.remove.credentials.flatMap((key) => before.credentials.get(key) ?? [])
    for (const name of bindings) {
      this.#bindingSince.set(name, revision)
      this.#awaited.add(name)
    }
    for (const { spiffeId, sourceName } of arriving) {
      this.#credentialSince.set(credentialKey(spiffeId, sourceName), revision)
    }
    for (const { name } of this.#bindingsUsing(arriving)) this.#awaited.add(name)
    for (const name of delta.remove.bindings) this.#bindingSince.delete(name)
    for (const key of delta.remove.credentials) this.#credentialSince.delete(key)
    this.#sent = this.#wanted
    this.#unsent = undefined
    return { update: { revision, reset: revision === 1, ...delta }, bereft: this.#bindingsUsing(lost) }
  }

  /**
   * Takes the daemon's answer to a revision: the bindings about which it says something new; undefined: it says
   * nothing. With `leftOut` an error is about these items, and all else is in effect.
   */
  acknowledge(
    revision: number,
    error: string | undefined,
    leftOut?: ScopeKeys,
  ): readonly ScopedBinding[] | undefined {
    if (revision > this.revision || revision < this.acknowledged) return undefined
    const before = this.acknowledged
    const failed = this.error !== undefined || error !== undefined
    if (error === undefined || leftOut) {
      this.acknowledged = revision
      this.#leftOut = leftOut && this.#sentOf(leftOut)
    }
    if (error !== undefined || revision === this.revision) this.error = error
    const concerned: ScopedBinding[] = []
    for (const name of failed ? this.#wanted.bindings.keys() : this.#awaited) {
      const binding = this.#wanted.bindings.get(name)
      if (!binding) continue
      const from = this.#effectiveFrom(binding)
      if (failed || (from > before && from <= revision)) concerned.push(binding)
    }
    if (this.acknowledged === this.revision) this.#awaited.clear()
    return concerned
  }

  /** Whether the binding is in effect, credential included, as it was sent. */
  isAcknowledged(binding: ScopedBinding): boolean {
    return this.#effectiveFrom(binding) <= this.acknowledged && !this.#isLeftOut(binding)
  }

  /** Whether what is yet to be sent touches the binding. */
  isUnsent({ name }: ScopedBinding): boolean {
    return this.#unsent?.bindings.has(name) === true
  }

  /** Whether the daemon could not read the binding, or what it needs. */
  #isLeftOut({ name, spiffeId, sourceName, serviceNames }: ScopedBinding): boolean {
    if (!this.#leftOut) return false
    const { workloads, services, bindings, credentials } = this.#leftOut
    return (
      bindings.has(name) ||
      workloads.has(spiffeId) ||
      serviceNames.some((service) => services.has(service)) ||
      credentials.has(credentialKey(spiffeId, sourceName))
    )
  }

  /** What of the scope a daemon names: it could name anything, and as much as it likes. */
  #sentOf({ identities, services, bindings, credentials }: ScopeKeys): LeftOut {
    const sent = this.#sent
    return {
      workloads: new Set(identities.flatMap((name) => sent.identities.get(name)?.spiffeId ?? [])),
      services: new Set(services.filter((name) => sent.services.has(name))),
      bindings: new Set(bindings.filter((name) => sent.bindings.has(name))),
      credentials: new Set(credentials.filter((key) => sent.credentials.has(key))),
    }
  }

  /** From which revision on a binding and its credential are in effect; Infinity: not by what was sent. */
  #effectiveFrom({ name, spiffeId, sourceName }: ScopedBinding): number {
    const credentialFrom = this.#credentialSince.get(credentialKey(spiffeId, sourceName)) ?? Infinity
    return Math.max(this.#bindingSince.get(name) ?? Infinity, credentialFrom)
  }

  #bindingsUsing(credentials: readonly ScopedCredential[]): readonly ScopedBinding[] {
    if (credentials.length === 0) return []
    const owners = new Set(credentials.map(({ spiffeId }) => spiffeId))
    const keys = new Set(credentials.map(({ spiffeId, sourceName }) => credentialKey(spiffeId, sourceName)))
    return [...this.#wanted.bindings.values()].filter(
      ({ spiffeId, sourceName }) => owners.has(spiffeId) && keys.has(credentialKey(spiffeId, sourceName)),
    )
  }
}
