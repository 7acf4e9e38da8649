import type { CandidateRule } from './candidates.ts'
import { candidateKey, destinationKey, policyRoom, unjudged, type CapturedDestination } from './layout.ts'

/** What of a policy the kernel's tables have room for, identity by identity. */
export interface PolicyRoom {
  /** Takes the room that an identity needs; false, and nothing is taken, where it is not there. */
  take(
    identity: number,
    needs: { rules: readonly CandidateRule[]; destinations: readonly CapturedDestination[] },
  ): boolean
}

/** The keys that make a destination of an identity captured. */
export function destinationKeys(
  identity: number,
  { port, loopbackAddress }: CapturedDestination,
): readonly Buffer[] {
  return [identity, unjudged].map((number) => destinationKey(number, port, loopbackAddress))
}

export function openPolicyRoom(): PolicyRoom {
  const candidates = new Set<string>()
  const destinations = new Set<string>()
  /** What identities share takes room once. */
  const missing = (held: ReadonlySet<string>, keys: readonly Buffer[]) =>
    new Set(keys.map((key) => key.toString('latin1')).filter((key) => !held.has(key)))
  return {
    take(identity, needs) {
      const rules = missing(candidates, needs.rules.map(candidateKey))
      const keys = needs.destinations.flatMap((destination) => destinationKeys(identity, destination))
      const ports = missing(destinations, keys)
      if (candidates.size + rules.size > policyRoom.candidates) return false
      if (destinations.size + ports.size > policyRoom.destinations) return false
      for (const key of rules) candidates.add(key)
      for (const key of ports) destinations.add(key)
      return true
    },
  }
}
