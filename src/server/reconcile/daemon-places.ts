import type { Daemon } from '#model/resource'
import { isConnected } from './absences.ts'
import { openMultimap } from './multimap.ts'
import { placesOf, type Place } from './plan.ts'

/** Which daemons are at a place, connected or not. */
export interface DaemonPlaces {
  at(place: Place): ReadonlySet<string>
  of(name: string): readonly Place[]
  /** It is said to be disconnected. Its stream may still be open: nothing is heard of it, or it is just back. */
  isGone(name: string): boolean
  /**
   * There is a Daemon, or it has changed; undefined: there is none of this name. Returns the places that changed, or
   * all of its places where it is said to have come or gone.
   */
  set(name: string, daemon: Daemon | undefined): readonly Place[]
}

type Whereabouts = 'new' | 'connected' | 'gone'

function whereaboutsOf(daemon: Daemon): Whereabouts {
  if (isConnected(daemon)) return 'connected'
  return daemon.status?.state === 'DISCONNECTED' ? 'gone' : 'new'
}

export function openDaemonPlaces(): DaemonPlaces {
  const names = openMultimap<Place, string>()
  const known = new Map<string, readonly Place[]>()
  const whereabouts = new Map<string, Whereabouts>()
  return {
    at: (place) => names.get(place),
    of: (name) => known.get(name) ?? [],
    isGone: (name) => whereabouts.get(name) === 'gone',
    set(name, daemon) {
      const before = known.get(name) ?? []
      const after = daemon
        ? placesOf({ workloadId: daemon.spec.workloadID, groups: daemon.spec.daemonGroups ?? [] })
        : []
      const left = before.filter((place) => !after.includes(place))
      const entered = after.filter((place) => !before.includes(place))
      for (const place of left) names.delete(place, name)
      for (const place of entered) names.add(place, name)
      const isNews = (daemon && whereaboutsOf(daemon)) !== whereabouts.get(name)
      if (daemon) {
        known.set(name, after)
        whereabouts.set(name, whereaboutsOf(daemon))
      } else {
        known.delete(name)
        whereabouts.delete(name)
      }
      return isNews ? [...new Set([...before, ...after])] : [...left, ...entered]
    },
  }
}
