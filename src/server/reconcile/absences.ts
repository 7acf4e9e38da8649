import type { Clock } from '#base/clock'
import type { Daemon } from '#model/resource'

/** However many come back one after the other, nobody is waited for longer. */
const longestMs = 60_000

export const isConnected = ({ status }: Daemon) => status?.state === 'OK' || status?.state === 'FAILED'

/**
 * Daemons that were connected and have a stream at no server: when a server restarts or dies its daemons come back
 * one after the other, and until then what was said of them stands.
 */
export interface Absences {
  /** To be told whenever a daemon comes or goes, or its object changes. */
  look(daemonName: string): void
  /** Its server is gone, and it may be on its way to another, or to the same one. */
  isAwaited(daemonName: string): boolean
  /** Mostly nobody is: then nobody has to be asked about. */
  isAnyAwaited(): boolean
  /** It was waited for in vain. */
  isMissed(daemonName: string): boolean
  /** Waits for all of these that were connected, for nobody has looked until now. */
  begin(daemons: Iterable<Daemon>): void
}

/** `arriving`: it has a stream, and nothing that it was sent is in effect there yet. */
export type Presence = 'absent' | 'arriving' | 'here'

/**
 * A daemon is missed `afterMs` after it was first asked about and found absent, or after another one came back.
 * `onSettled` is told who is awaited no more, missed or back.
 */
export function openAbsences({
  daemonNamed,
  presenceOf,
  onSettled,
  afterMs,
  clock,
}: {
  daemonNamed: (name: string) => Daemon | undefined
  presenceOf: (daemonName: string) => Presence
  onSettled: (daemonName: string) => void
  afterMs: number
  clock: Clock
}): Absences {
  /** Of those that are awaited. */
  const since = new Map<string, number>()
  const missed = new Set<string>()
  let returnedAt = -Infinity
  let isTimed = false

  const missedAt = (from: number) => Math.min(Math.max(from, returnedAt) + afterMs, from + longestMs)

  function time(): void {
    if (isTimed || since.size === 0) return
    isTimed = true
    const next = since.values().reduce((least, from) => Math.min(least, missedAt(from)), Infinity)
    clock.after(Math.max(0, next - clock.monotonic()), ring, { unref: true })
  }

  function ring(): void {
    isTimed = false
    const now = clock.monotonic()
    for (const [name, from] of since) {
      if (missedAt(from) > now) continue
      since.delete(name)
      missed.add(name)
      onSettled(name)
    }
    time()
  }

  /** Whether its own server has not seen it go: where it has, nobody waits for it. */
  function mayReturn(name: string): boolean {
    const daemon = daemonNamed(name)
    return daemon !== undefined && isConnected(daemon)
  }

  function whereabouts(name: string): 'known' | 'awaited' | 'missed' {
    const presence = presenceOf(name)
    if (presence === 'here' || !mayReturn(name)) {
      missed.delete(name)
      if (since.delete(name) && presence === 'here') {
        returnedAt = clock.monotonic()
        onSettled(name)
      }
      return 'known'
    }
    if (presence === 'arriving' && !since.has(name)) return 'known'
    if (missed.has(name)) return 'missed'
    if (!since.has(name)) since.set(name, clock.monotonic())
    time()
    return 'awaited'
  }

  return {
    look: (name) => void whereabouts(name),
    isAnyAwaited: () => since.size > 0,
    isAwaited: (name) => whereabouts(name) === 'awaited',
    isMissed: (name) => whereabouts(name) === 'missed',
    begin(daemons) {
      since.clear()
      missed.clear()
      for (const daemon of daemons)
        if (isConnected(daemon)) since.set(daemon.metadata.name, clock.monotonic())
      time()
    },
  }
}
