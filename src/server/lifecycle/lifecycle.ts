import type { Clock } from '#base/clock'
import { isFault } from '#base/errors'
import { openBell } from '#base/lifecycle'
import type { Log } from '#base/log'
import { defaultNamespace, kinds, namespaceOf, type Draft, type Resource } from '#model/resource'
import type { AuditTrail } from '#server/audit'
import { isBeingDeleted, type ResourceCache, type ResourceEvent, type Resources } from '#server/store'
import { due, mayBeDue, ownerOf, type Due } from './due.ts'
import { openEventRecorder } from './event-recorder.ts'

/** Does what follows from deletions and owners; see the face. */
export interface Lifecycle {
  run(options: { signal: AbortSignal }): Promise<void>
}

const maxConcurrent = 16
const retryMs = 1_000

const keyOf = (object: Resource) => `${object.kind} ${namespaceOf(object)}/${object.metadata.name}`

export function openLifecycle({
  cache,
  resources,
  audit,
  clock,
  log,
}: {
  cache: Pick<ResourceCache, 'get' | 'list' | 'onChange'>
  resources: Resources
  audit: Pick<AuditTrail, 'change'>
  clock: Clock
  log: Log
}): Lifecycle {
  /** Objects that may need something: few of all there are. */
  const candidates = new Map<string, Resource>()
  /** Namespaces in which something was seen, and that may have no object of their own yet. */
  const used = new Set<string>([defaultNamespace])

  function follow({ type, object }: Pick<ResourceEvent, 'type' | 'object'>): void {
    if (type !== 'DELETED' && mayBeDue(object)) candidates.set(keyOf(object), object)
    else candidates.delete(keyOf(object))
    if (type === 'ADDED' && !isBeingDeleted(object)) used.add(namespaceOf(object))
  }

  async function act(task: Due): Promise<void> {
    const { kind, metadata } = task.object
    const { name, uid } = metadata
    const namespace = namespaceOf(task.object)
    if (task.type === 'delete') {
      // The cache may be behind: nothing is deleted whose owner is there after all.
      if (task.because === 'owners' && (await hasOwner(task.object))) return
      await resources.delete(kind, namespace, name, { uid, propagationPolicy: task.policy })
      await audit.change({
        actor: 'tideway:lifecycle',
        verb: 'delete',
        object: `${kind}/${name}`,
        ...(namespace !== '' && { namespace }),
        outcome: 'ok',
        message: `because of its ${task.because}`,
      })
      return
    }
    const { finalizers = [], ownerReferences = [] } = metadata
    const document =
      task.type === 'release'
        ? { finalizers: finalizers.filter((finalizer) => finalizer !== task.finalizer) }
        : { ownerReferences: ownerReferences.filter((reference) => !task.uids.has(reference.uid)) }
    if (task.type === 'release' && kind === 'Namespace') await removeEvents(name)
    const { resourceVersion } = metadata
    await resources.patch(kind, namespace, name, {
      type: 'merge',
      document: { metadata: { ...document, uid, resourceVersion } },
    })
  }

  async function hasOwner(object: Resource): Promise<boolean> {
    for (const reference of object.metadata.ownerReferences ?? []) {
      const known = ownerOf(cache, object, reference)
      if (known !== undefined) continue
      const definition = kinds.find(
        ({ kind, apiVersion }) => kind === reference.kind && apiVersion === reference.apiVersion,
      )
      const place = definition?.scope === 'Cluster' ? '' : namespaceOf(object)
      const owner = definition && (await resources.get(definition.kind, place, reference.name))
      if (owner?.metadata.uid === reference.uid) return true
    }
    return false
  }

  async function removeEvents(namespace: string): Promise<void> {
    const { items } = await resources.list('Event', namespace)
    for (const { metadata } of items) await resources.delete('Event', namespace, metadata.name)
  }

  async function provide(name: string): Promise<void> {
    used.delete(name)
    if (name === '' || cache.get('Namespace', '', name)) return
    const draft: Draft<Resource> = { apiVersion: 'v1', kind: 'Namespace', metadata: { name } }
    await resources.create(draft)
  }

  /** Does one thing; false when it has to be tried again. */
  async function attempt(name: string, work: () => Promise<void>): Promise<boolean> {
    try {
      await work()
      return true
    } catch (error) {
      // Gone, there already, or changed meanwhile: the change itself will make us look again.
      if (isFault(error) && ['not-found', 'conflict'].includes(error.kind)) return true
      log.warn('lifecycle.failed', { object: name, error })
      return false
    }
  }

  async function pass(): Promise<boolean> {
    const work = [
      ...[...used].map((name) => () => attempt(`Namespace/${name}`, () => provide(name))),
      ...due(candidates.values(), cache).map((task) => () => attempt(keyOf(task.object), () => act(task))),
    ]
    let done = true
    for (let from = 0; from < work.length; from += maxConcurrent) {
      const results = await Promise.all(work.slice(from, from + maxConcurrent).map((run) => run()))
      done &&= results.every(Boolean)
    }
    return done
  }

  async function collect(signal: AbortSignal): Promise<void> {
    const bell = openBell()
    using subscription = new DisposableStack()
    subscription.defer(
      cache.onChange((events) => {
        for (const event of events) follow(event)
        bell.ring()
      }),
    )
    for (const { kind } of kinds) {
      for (const object of cache.list(kind)) follow({ type: 'ADDED', object })
    }
    while (!signal.aborted) {
      const heard = bell.rings
      if (!(await pass())) {
        clock.sleep(retryMs, { signal, unref: true }).then(
          () => bell.ring(),
          () => {},
        )
      }
      await bell.after(heard, signal)
    }
  }

  return {
    async run({ signal }) {
      const recorder = openEventRecorder({ cache, resources, clock, log })
      await Promise.all([collect(signal), recorder.run({ signal })])
    },
  }
}
