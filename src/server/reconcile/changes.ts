import { openBell, type Bell } from '#base/lifecycle'
import type { ScopedBinding } from '#model/scope'
import type { CredentialChanges } from '#server/exchange'
import type { Place } from './plan.ts'

/** What has to be looked at again. */
export interface Taken {
  /** Keys of credentials that changed, or of which something new is known. */
  readonly credentials: ReadonlySet<string>
  /** Names of daemons that say something new of themselves or of others. */
  readonly daemons: ReadonlySet<string>
  /** Names of daemons that were sent something, or have put it into effect. */
  readonly streams: ReadonlySet<string>
  /** By name in scopes, bindings that are in effect somewhere where they were not, or the other way round. */
  readonly bindings: ReadonlyMap<string, Pick<ScopedBinding, 'name' | 'spiffeId'>>
  /** Names of daemons that came or went, and where. */
  readonly present: ReadonlySet<string>
  readonly places: ReadonlySet<Place>
}

/**
 * Collects what has to be looked at again, and rings. Each is kept once, however often it is told: it is bounded by
 * how many daemons and objects there are.
 */
export interface Changes extends Bell, CredentialChanges {
  daemon(name: string): void
  stream(name: string, bindings: Iterable<ScopedBinding>): void
  presence(name: string, places: Iterable<Place>): void
  /** What was told since the last call. */
  take(): Taken
}

const none = () => ({
  credentials: new Set<string>(),
  daemons: new Set<string>(),
  streams: new Set<string>(),
  bindings: new Map<string, ScopedBinding>(),
  present: new Set<string>(),
  places: new Set<Place>(),
})

export function openChanges(): Changes {
  const bell = openBell()
  let told = none()
  return {
    get rings() {
      return bell.rings
    },
    ring: () => bell.ring(),
    after: (rings, signal) => bell.after(rings, signal),
    credential(key) {
      told.credentials.add(key)
      bell.ring()
    },
    daemon(name) {
      told.daemons.add(name)
      bell.ring()
    },
    stream(name, bindings) {
      told.streams.add(name)
      for (const binding of bindings) told.bindings.set(binding.name, binding)
      bell.ring()
    },
    presence(name, places) {
      told.daemons.add(name)
      told.present.add(name)
      for (const place of places) told.places.add(place)
      bell.ring()
    },
    take() {
      const taken = told
      told = none()
      return taken
    },
  }
}
