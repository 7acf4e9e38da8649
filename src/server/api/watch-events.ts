import type { Clock } from '#base/clock'
import type { Kind, KindDefinition, Resource } from '#model/resource'
import type { ResourceEvent, Resources } from '#server/store'
import { expectNotOlder } from './list.ts'
import type { ListOptions } from './list-options.ts'
import type { Representation } from './table.ts'

const bookmarkMs = 60_000
const tick = Symbol('tick')

/** What a batch is to somebody who sees only some objects: one that comes into sight is new, one that leaves is gone. */
function seen({ type, object, previous }: ResourceEvent, matches: (object: Resource) => boolean) {
  const is = matches(object)
  if (type !== 'MODIFIED' || !previous) return is ? { type, object } : undefined
  const was = matches(previous)
  if (is) return { type: was ? 'MODIFIED' : 'ADDED', object }
  if (!was) return undefined
  const { resourceVersion } = object.metadata
  return {
    type: 'DELETED',
    object: { ...previous, metadata: { ...previous.metadata, resourceVersion } } as Resource,
  }
}

/** The items of `source` as they are taken, and a tick whenever `everyMs` have passed. Ends with `source`. */
async function* withTicks<T>(
  source: AsyncIterable<T>,
  { everyMs, clock }: { everyMs: number; clock: Clock },
): AsyncGenerator<T | typeof tick> {
  const items = source[Symbol.asyncIterator]()
  using stop = new DisposableStack()
  const ended = stop.adopt(new AbortController(), (controller) => controller.abort())
  const nextTick = async (): Promise<typeof tick> => {
    await clock.sleep(everyMs, { signal: ended.signal, unref: true }).catch(() => {})
    return tick
  }
  const nextItem = () => {
    const item = items.next()
    // Whoever leaves at a tick does not hear of it.
    item.catch(() => {})
    return item
  }
  let next = nextItem()
  let due = nextTick()
  for (;;) {
    const first = await Promise.race([next, due])
    if (first === tick) {
      due = nextTick()
      yield tick
    } else if (first.done) return
    else {
      yield first.value
      next = nextItem()
    }
  }
}

interface WatchEvent {
  readonly type: string
  readonly object: object
}

const encoded = new WeakMap<object, string>()

/** An event as JSON; the object of many watches is encoded once. */
export function encodeEvent({ type, object }: WatchEvent): string {
  const text = encoded.get(object) ?? JSON.stringify(object)
  encoded.set(object, text)
  return `{"type":"${type}","object":${text}}`
}

/**
 * The events of a watch as Kubernetes has them: first what there is, when that is asked for, then every change. With
 * bookmarks it says every minute, and when its time is over, from where a later watch can go on.
 * @throws Fault STORE_REVISION_GONE when the changes since are no longer kept; RequestRefusal 504
 */
export async function* watchEvents(
  resources: Pick<Resources, 'scan' | 'watch'>,
  {
    definition: { kind },
    namespace,
    options: { selection, bookmarks, resourceVersion, sendInitialEvents },
    representation,
    clock,
    expiry,
    signal,
  }: {
    definition: KindDefinition<Kind>
    namespace: string | undefined
    options: ListOptions
    representation: Representation
    clock: Clock
    /** Aborts when the time of the watch is over. */
    expiry: AbortSignal
    signal: AbortSignal
  },
): AsyncGenerator<WatchEvent> {
  const matches = (object: Resource) => selection.matches(object)
  const bookmark = (resourceVersion: string, annotations?: Readonly<Record<string, string>>) => ({
    type: 'BOOKMARK',
    object: representation.mark({ resourceVersion, ...(annotations && { annotations }) }),
  })
  let progress = resourceVersion
  if (progress === undefined || sendInitialEvents) {
    progress = ''
    for await (const page of resources.scan(kind, { namespace })) {
      progress = page.resourceVersion
      expectNotOlder(progress, resourceVersion)
      if (sendInitialEvents === false) break
      for (const scanned of page.objects) {
        const object = scanned.read()
        if (matches(object)) yield { type: 'ADDED', object: representation.object(object) }
      }
    }
    if (sendInitialEvents && bookmarks) yield bookmark(progress, { 'k8s.io/initial-events-end': 'true' })
  }
  const batches = resources.watch(kind, {
    fromRevision: progress,
    namespace,
    signal: AbortSignal.any([signal, expiry]),
    onProgress: (reached) => {
      progress = reached
    },
  })
  let marked = progress
  for await (const batch of withTicks(batches, { everyMs: bookmarkMs, clock })) {
    if (batch === tick) {
      if (bookmarks && progress !== marked) yield bookmark((marked = progress))
      continue
    }
    for (const event of batch) {
      const shown = seen(event, matches)
      if (shown) yield { type: shown.type, object: representation.object(shown.object) }
    }
  }
  if (bookmarks && expiry.aborted) yield bookmark(progress)
}
