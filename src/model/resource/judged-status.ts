import type { EpochMs } from '#base/clock'
import { stateColumn } from './kind.ts'
import { kindNamed, type Kind, type Resource, type ResourceOf, type StatusOf } from './registry.ts'
import { formatTime, withCondition, type CommonStatus, type Condition } from './status.ts'

/** A condition as a judgement; times and generation are added when it is written. */
export type Judgement = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>

type StateOf<K extends Kind> = StatusOf<K> extends { state?: infer S } ? NonNullable<S> : never

/** What a status should say. */
export interface DesiredStatus<K extends Kind = Kind> {
  readonly state: StateOf<K>
  readonly message: string
  readonly conditions: readonly Judgement[]
  /** The fields of this kind beside the common ones; undefined removes one. */
  readonly own?: Readonly<Record<string, unknown>>
}

const goodStates: ReadonlySet<string> = new Set(['OK', 'AVAILABLE', 'Available'])
/** Nothing changes by itself any more. */
const finalStates: ReadonlySet<string> = new Set(['FAILED', 'EXPIRED'])

/** Why an object is in this state, where no condition decides. */
export function reasonOfState(state: string): string {
  return goodStates.has(state) ? 'Ready' : state.charAt(0) + state.slice(1).toLowerCase()
}

/**
 * The state for tools that know nothing of our kinds: `Ready` where all is well, and `Stalled` where nothing changes
 * unless somebody acts (kstatus, by which GitOps controllers judge). Their reason is that of the condition that decides.
 */
function standardConditions({ state, message, conditions }: DesiredStatus): Judgement[] {
  const decisive = conditions.find((condition) => message.startsWith(condition.message))
  const reason = decisive?.reason ?? reasonOfState(state)
  const ready: Judgement = {
    type: 'Ready',
    status: goodStates.has(state) ? 'True' : 'False',
    reason,
    message,
  }
  const stalled: Judgement = { type: 'Stalled', status: 'True', reason, message }
  return [
    ...(conditions.some(({ type }) => type === 'Ready') ? [] : [ready]),
    ...(finalStates.has(state) ? [stalled] : []),
  ]
}

/**
 * Whether `current` is still what was judged: the same object, and of the same generation. What was found of another is
 * not to be said of it, for whoever waits for its state would take that for an answer.
 */
export function isAsJudged(current: Resource, { metadata: { uid, generation } }: Resource): boolean {
  return current.metadata.uid === uid && current.metadata.generation === generation
}

/** The status of `object` after `desired`, with the standard conditions: times move only where something changed. */
export function nextStatus<K extends Kind>(
  object: ResourceOf<K>,
  desired: DesiredStatus<K>,
  at: EpochMs,
): StatusOf<K> {
  const { state, message, conditions, own = {} } = desired
  const before = ((object as { status?: unknown }).status ?? {}) as CommonStatus
  const observedGeneration = object.metadata.generation
  const unchanged = (before.state as unknown) === state && before.message === message
  const next: Record<string, unknown> = {
    ...before,
    ...own,
    state,
    message,
    updateAt: (unchanged && before.updateAt) || formatTime(at),
    observedGeneration,
    conditions: [...conditions, ...standardConditions(desired)].map((judgement) => {
      const known = before.conditions?.filter(({ type }) => type === judgement.type)
      return withCondition(known, { ...judgement, observedGeneration }, at)[0]!
    }),
  }
  for (const [field, value] of Object.entries(own)) if (value === undefined) delete next[field]
  return next
}

/**
 * `object`, which is new, with the status of what nobody has looked at yet, if its kind has states: without one, tools
 * would take it for ready (kstatus counts what has no conditions as current).
 */
export function withFirstStatus(object: Resource, at: EpochMs): Resource {
  const { columns } = kindNamed(object.apiVersion, object.kind)!
  if (!columns.includes(stateColumn)) return object
  const message = 'just made, and not looked at yet: that takes less than a second, while a server leads'
  const unseen = { ...object, metadata: { ...object.metadata, generation: 0 } } as ResourceOf<'Service'>
  const status = nextStatus<'Service'>(unseen, { state: 'PENDING', message, conditions: [] }, at)
  return { ...object, status } as Resource
}
