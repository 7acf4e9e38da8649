import { createHash } from 'node:crypto'
import {
  satisfiesCapture,
  type Scope,
  type ScopedBinding,
  type ScopedIdentity,
  type ScopedService,
} from '#model/scope'
import type { PlannedBinding } from './plan.ts'
import type { FollowingDaemon, ReportedCondition } from './ports.ts'
import { isInScope } from './scope-delta.ts'
import type { Effect, LocalStream, Stream } from './scopes.ts'

/** What a server tells the one that leads of a daemon that is connected to it. */
interface StreamReport {
  readonly daemon: FollowingDaemon
  readonly conditions: readonly ReportedCondition[]
  readonly isArriving?: true
  readonly synchronised: boolean
  readonly error?: string
  /** By binding name: of which content it is said, and how far that is. */
  readonly effects: Readonly<Record<string, { readonly content: string; readonly effect: Effect }>>
}

/** Stands for all that a binding says to one daemon. */
function digest(
  binding: ScopedBinding,
  services: readonly (ScopedService | undefined)[],
  identities: readonly ScopedIdentity[],
): string {
  const sorted = identities.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  const text = JSON.stringify([binding, services, sorted])
  return createHash('sha256').update(text).digest('base64url').slice(0, 22)
}

function contentIn({ services, identities }: Scope, binding: ScopedBinding): string {
  const own = [...identities.values()].filter(({ spiffeId }) => spiffeId === binding.spiffeId)
  return digest(
    binding,
    binding.serviceNames.map((name) => services.get(name)),
    own,
  )
}

function contentFor(daemon: FollowingDaemon, { scoped, services, identities }: PlannedBinding): string {
  const own = identities.filter((identity) => isInScope(identity, daemon))
  return digest(
    scoped,
    services,
    own.map((identity) => identity.scoped),
  )
}

export function encodeReport(stream: LocalStream): string {
  const { daemon, conditions, isArriving, synchronised, error, wanted, effectOfScoped } = stream
  const effects = [...wanted.bindings.values()].map((binding) => [
    binding.name,
    { content: contentIn(wanted, binding), effect: effectOfScoped(binding) },
  ])
  const report: StreamReport = {
    daemon,
    conditions,
    ...(isArriving && { isArriving }),
    synchronised,
    ...(error !== undefined && { error }),
    effects: Object.fromEntries(effects) as StreamReport['effects'],
  }
  return JSON.stringify(report)
}

/** The stream that a report tells of: what it says of other content than ours is not known yet. */
export function decodeReport(text: string): Stream {
  const {
    daemon,
    conditions,
    isArriving = false,
    synchronised,
    error,
    effects,
  } = JSON.parse(text) as StreamReport
  return {
    daemon,
    conditions,
    isArriving,
    synchronised,
    sent: 1,
    acknowledged: synchronised ? 1 : 0,
    error,
    effectOf(binding) {
      const { name, minimumCapture } = binding.scoped
      if (!satisfiesCapture(daemon.captureLevel, minimumCapture)) return { state: 'WITHHELD' }
      const said = Object.hasOwn(effects, name) ? effects[name] : undefined
      return said?.content === contentFor(daemon, binding) ? said.effect : { state: 'PENDING' }
    },
  }
}
