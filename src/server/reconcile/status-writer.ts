import { isDeepStrictEqual } from 'node:util'
import type { Clock } from '#base/clock'
import { isFault } from '#base/errors'
import type { Log } from '#base/log'
import { silentMetrics, type Metrics } from '#base/metrics'
import { isAsJudged, type Kind, type Resource, type ResourceOf, type StatusOf } from '#model/resource'
import type { Resources } from '#server/store'

/** Computes the next status of an object from the present one; the same one when there is nothing to write. */
export type NextStatus<K extends Kind> = (current: ResourceOf<K>) => StatusOf<K>

/**
 * Writes statuses beside everything else: the newest wish for each object, several objects at a time. Nothing is
 * written of an object that has changed since: it is judged anew once that is known here.
 */
export interface StatusWriter extends AsyncDisposable {
  set<K extends Kind>(object: ResourceOf<K>, next: NextStatus<K>): void
}

const maxConcurrent = 16
const retryMs = 1_000

interface Wish {
  readonly kind: Kind
  readonly namespace: string
  readonly name: string
  readonly judged: Resource
  readonly next: (current: ResourceOf<Kind>) => unknown
}

const statusOf = (object: ResourceOf<Kind>) => (object as { status?: unknown }).status as StatusOf<Kind>

export function openStatusWriter({
  resources,
  clock,
  log,
  metrics = silentMetrics,
}: {
  resources: Pick<Resources, 'updateStatus'>
  clock: Clock
  log: Log
  metrics?: Metrics
}): StatusWriter {
  const stop = new AbortController()
  /** At most one per object. */
  const wishes = new Map<string, Wish>()
  const writing = new Map<string, Promise<void>>()

  async function write(key: string, wish: Wish): Promise<void> {
    const { kind, namespace, name, judged, next } = wish
    try {
      await resources.updateStatus(kind, namespace, name, (current) =>
        isAsJudged(current, judged) ? (next(current) as StatusOf<Kind>) : statusOf(current),
      )
      metrics.count('status_writes', { kind })
    } catch (error) {
      // Deleted meanwhile: there is nothing left to write to.
      if (stop.signal.aborted || isFault(error, 'RESOURCE_NOT_FOUND')) return
      log.warn('reconcile.status-failed', { kind, namespace, name, error })
      await clock.sleep(retryMs, { signal: stop.signal, unref: true }).catch(() => {})
      if (!wishes.has(key)) wishes.set(key, wish)
    }
  }

  function pump(): void {
    for (const [key, wish] of wishes) {
      if (writing.size >= maxConcurrent || stop.signal.aborted) return
      if (writing.has(key)) continue
      wishes.delete(key)
      const written = write(key, wish).finally(() => {
        writing.delete(key)
        pump()
      })
      writing.set(key, written)
    }
  }

  return {
    set<K extends Kind>(object: ResourceOf<K>, next: NextStatus<K>) {
      const { kind, metadata } = object
      const { namespace = '', name } = metadata
      const key = `${kind} ${namespace}/${name}`
      const settled = !wishes.has(key) && !writing.has(key)
      if (settled && isDeepStrictEqual(next(object), statusOf(object))) return
      wishes.set(key, { kind, namespace, name, judged: object, next: next as Wish['next'] })
      pump()
    },
    async [Symbol.asyncDispose]() {
      stop.abort()
      wishes.clear()
      await Promise.all(writing.values())
    },
  }
}
