import type { Daemon } from '#model/resource'
import { isConnected } from './absences.ts'
import { openMultimap } from './multimap.ts'
import { placesOf, type Place } from './plan.ts'

/** Which daemons are at a place, connected or not. */
export interface DaemonPlaces {
  at(place: Place): ReadonlySet<string>
  of(name: string): readonly Place[]
  /**
   * There is a Daemon, or it has changed; undefined: there is none of this name. Returns the places that changed, or
   * where it is said to be connected now and was not, or the other way round.
   */
  set(name: string, daemon: Daemon | undefined): readonly Place[]
}

export function openDaemonPlaces(): DaemonPlaces {
  const names = openMultimap<Place, string>()
  const known = new Map<string, readonly Place[]>()
  const connected = new Set<string>()
  return {
    at: (place) => names.get(place),
    of: (name) => known.get(name) ?? [],
    set(name, daemon) {
      const before = known.get(name) ?? []
      const after = daemon
        ? placesOf({ workloadId: daemon.spec.workloadID, groups: daemon.spec.daemonGroups ?? [] })
        : []
      const left = before.filter((place) => !after.includes(place))
      const entered = after.filter((place) => !before.includes(place))
      for (const place of left) names.delete(place, name)
      for (const place of entered) names.add(place, name)
      if (daemon) known.set(name, after)
      else known.delete(name)
      const isNews = (daemon !== undefined && isConnected(daemon)) !== connected.has(name)
      if (daemon && isConnected(daemon)) connected.add(name)
      else connected.delete(name)
      return isNews ? [...new Set([...before, ...after])] : [...left, ...entered]
    },
  }
}
