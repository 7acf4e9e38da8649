import { createHash } from 'node:crypto'
import type { Clock, EpochMs } from '#base/clock'
import { isFault } from '#base/errors'
import { afterAtMost, openBell } from '#base/lifecycle'
import type { Log } from '#base/log'
import {
  formatSeconds,
  namespaceOf,
  reasonOfState,
  type CommonStatus,
  type Draft,
  type Event,
} from '#model/resource'
import type { ResourceCache, ResourceEvent, Resources } from '#server/store'

// As in Kubernetes: an event is news for an hour.
const lifetimeMs = 3_600_000
const sweepEveryMs = 60_000
/** Beyond these the oldest go. */
const maxEvents = 10_000
const maxPending = 1_000

/** Where the events of objects lie that are in no namespace. */
export const eventNamespace = 'default'

const component = 'tideway'
const bad: ReadonlySet<unknown> = new Set(['FAILED', 'EXPIRED', 'DISCONNECTED'])

/** What a change of an object's state has to say; undefined when its state is as it was. */
export function newsOf({ type, object, previous }: ResourceEvent, at: EpochMs): Draft<Event> | undefined {
  const { state, message = '', conditions = [] } = (object.status ?? {}) as CommonStatus
  const before = (previous?.status ?? {}) as CommonStatus
  if (type !== 'MODIFIED' || state === undefined) return undefined
  if (state === before.state && message === before.message) return undefined
  // Of the same moment: a Daemon's state and its conditions are written by different hands.
  const ready = conditions.find((condition) => condition.type === 'Ready' && condition.message === message)
  const reason = ready?.reason || reasonOfState(state)
  const { apiVersion, kind, metadata } = object
  const { name, uid, resourceVersion } = metadata
  const namespace = namespaceOf(object)
  // What says the same of the same object is one event that is counted.
  const identity = createHash('sha256')
    .update(JSON.stringify([uid, state, reason, message]))
    .digest('hex')
  const time = formatSeconds(at)
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: {
      name: `${name.slice(0, 230)}.${identity.slice(0, 16)}`,
      namespace: namespace || eventNamespace,
    },
    involvedObject: { apiVersion, kind, name, uid, resourceVersion, ...(namespace && { namespace }) },
    type: bad.has(state) ? 'Warning' : 'Normal',
    reason,
    message: (message || `is ${state}`).slice(0, 1024),
    firstTimestamp: time,
    lastTimestamp: time,
    count: 1,
    source: { component },
    reportingComponent: component,
    reportingInstance: component,
  }
}

/** Records changes of state as events, and removes those that are no longer news. */
export function openEventRecorder({
  cache,
  resources,
  clock,
  log,
}: {
  cache: Pick<ResourceCache, 'onChange'>
  resources: Pick<Resources, 'create' | 'update' | 'get' | 'list' | 'delete'>
  clock: Clock
  log: Log
}): { run(options: { signal: AbortSignal }): Promise<void> } {
  const pending = new Map<string, Draft<Event>>()
  let dropped = 0

  function hear(events: readonly ResourceEvent[]): void {
    for (const event of events) {
      const news = newsOf(event, clock.now())
      if (!news) continue
      pending.set(`${news.metadata.namespace}/${news.metadata.name}`, news)
      if (pending.size <= maxPending) continue
      pending.delete(pending.keys().next().value!)
      dropped++
    }
  }

  async function record(news: Draft<Event>): Promise<void> {
    const { namespace = '', name } = news.metadata
    const known = await resources.get('Event', namespace, name)
    if (!known) await resources.create<'Event'>(news)
    else {
      const { firstTimestamp, count = 1 } = known
      const { resourceVersion } = known.metadata
      await resources.update<'Event'>({
        ...news,
        ...(firstTimestamp !== undefined && { firstTimestamp }),
        count: count + 1,
        metadata: { ...news.metadata, resourceVersion },
      })
    }
  }

  async function write(): Promise<void> {
    for (const [key, news] of pending) {
      pending.delete(key)
      try {
        await record(news)
      } catch (error) {
        // Another server said the same, or the namespace is going: nobody misses this one.
        if (!isFault(error)) throw error
        log.debug('lifecycle.event-lost', { event: key, error })
      }
    }
    if (dropped > 0) log.warn('lifecycle.events-dropped', { count: dropped })
    dropped = 0
  }

  async function sweep(): Promise<void> {
    const { items } = await resources.list('Event')
    const at = clock.now()
    const timeOf = ({ lastTimestamp, metadata }: Event) =>
      Date.parse(lastTimestamp ?? metadata.creationTimestamp)
    const byAge = items.toSorted((a, b) => timeOf(b) - timeOf(a))
    const old = byAge.filter((event, index) => index >= maxEvents || at - timeOf(event) > lifetimeMs)
    for (const { metadata } of old) {
      const { namespace, name, uid } = metadata
      await resources.delete('Event', namespace, name, { uid }).catch((error: unknown) => {
        if (!isFault(error)) throw error
      })
    }
  }

  return {
    async run({ signal }) {
      const bell = openBell()
      using subscription = new DisposableStack()
      subscription.defer(
        cache.onChange((events) => {
          hear(events)
          bell.ring()
        }),
      )
      let sweepAt = clock.monotonic()
      while (!signal.aborted) {
        const heard = bell.rings
        await write()
        if (clock.monotonic() >= sweepAt) {
          sweepAt = clock.monotonic() + sweepEveryMs
          await sweep()
        }
        await afterAtMost(bell, heard, { ms: sweepEveryMs, clock, signal })
      }
    },
  }
}
