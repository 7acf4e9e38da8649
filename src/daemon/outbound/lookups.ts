import { lookup } from 'node:dns/promises'
import type { Clock } from '#base/clock'
import { Fault } from '#base/errors'
import { Counts } from './bounds.ts'

/** Addresses of a host name, in order of preference. */
export type Resolve = (host: string) => Promise<readonly string[]>

export const systemResolve: Resolve = async (host) => {
  const found = await lookup(host, { all: true })
  return found.map(({ address }) => address)
}

/**
 * Addresses of a host for a user of this machine. @throws what the resolver throws; Fault UPSTREAM_UNREACHABLE when
 * there was no answer in time
 */
export type LookUp = (host: string, uid: number) => Promise<readonly string[]>

/**
 * Each look-up of the system's resolver keeps a thread until it gives up, half a minute with a name server that is
 * silent. libuv lets half of its threads do that: so many, of the threads that workers have.
 */
const maxRunning = { maxPerKey: 2, maxTotal: 8 }
export const lookUpThreads = 2 * maxRunning.maxTotal

interface Waiting {
  readonly host: string
  readonly uid: number
  readonly answer: PromiseWithResolvers<readonly string[]>
}

/**
 * Opens look-ups that are answered within `timeoutMs`. SECURITY: those of one user take few threads, the others wait
 * for their turn, so that nobody's silent name servers keep others from names.
 */
export function openLookUps({
  clock,
  timeoutMs,
  resolve = systemResolve,
}: {
  clock: Clock
  timeoutMs: number
  resolve?: Resolve | undefined
}): LookUp {
  /** Threads in use: for longer than anybody waits. */
  const used = new Counts<number>(maxRunning)
  const running = new Map<string, Promise<readonly string[]>>()
  /** By user, the one whose turn is next first. */
  const queues = new Map<number, Set<Waiting>>()

  /** Whether it was still waiting. */
  function leave(one: Waiting): boolean {
    const queue = queues.get(one.uid)
    if (!queue?.delete(one)) return false
    if (queue.size === 0) queues.delete(one.uid)
    return true
  }
  /** Joins one of the same name that is under way; undefined while the user has to wait. */
  function tryStart(host: string, uid: number): Promise<readonly string[]> | undefined {
    const known = running.get(host)
    if (known || !used.enter(uid)) return known
    const found = resolve(host).finally(() => {
      running.delete(host)
      used.leave(uid)
      startWaiting()
    })
    running.set(host, found)
    return found
  }
  function startWaiting(): void {
    // Who got a turn is behind all others, and comes up again where there is room for more.
    for (const [uid, queue] of queues) {
      const [one] = queue
      const found = one && tryStart(one.host, uid)
      if (!found) continue
      queues.delete(uid)
      queue.delete(one)
      if (queue.size > 0) queues.set(uid, queue)
      found.then(one.answer.resolve, one.answer.reject)
    }
  }
  function waitFor(host: string, uid: number): Waiting {
    const one = { host, uid, answer: Promise.withResolvers<readonly string[]>() }
    const queue = queues.get(uid)
    if (queue) queue.add(one)
    else queues.set(uid, new Set([one]))
    return one
  }

  return async (host, uid) => {
    const late = Promise.withResolvers<never>()
    const started = tryStart(host, uid)
    const one = started ? undefined : waitFor(host, uid)
    const expire = () => {
      const why = one && leave(one) ? `user ${uid} looks up too many names` : 'its name servers are silent'
      late.reject(new Fault('UPSTREAM_UNREACHABLE', `no address within ${timeoutMs} ms: ${why}`))
    }
    const cancel = clock.after(timeoutMs, expire, { unref: true })
    return await Promise.race([started ?? one!.answer.promise, late.promise]).finally(cancel)
  }
}
