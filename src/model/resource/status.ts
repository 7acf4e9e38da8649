import { Type, type Static, type TProperties } from 'typebox'
import type { EpochMs } from '#base/clock'
import { choice, closed, dateTime, list } from './schema.ts'

const statusText = (description: string) => Type.String({ description })

const condition = closed(
  {
    type: statusText('What it is about, such as Ready or Unsupported.'),
    status: choice(['True', 'False', 'Unknown'], 'Whether it holds.'),
    reason: statusText('One CamelCase word for programs.'),
    message: statusText('What holds and what to do next, for people.'),
    lastTransitionTime: dateTime('When `status` last changed.'),
    observedGeneration: Type.Optional(Type.Integer({ description: 'The generation that was judged.' })),
  },
  'One observed aspect of the object.',
)

export type Condition = Static<typeof condition>

/** The status that every kind has, with fields of its own. */
export function statusOf<const S extends string[], P extends TProperties>(states: readonly [...S], own: P) {
  return closed(
    {
      state: Type.Optional(choice(states, 'The state in one word.')),
      message: Type.Optional(statusText('Why, and what to do next.')),
      updateAt: Type.Optional(dateTime('When the state or message last changed.')),
      observedGeneration: Type.Optional(Type.Integer({ description: 'The generation that was judged.' })),
      conditions: Type.Optional(
        list(condition, 'Conditions in the manner of Kubernetes.', { merge: ['type'] }),
      ),
      ...own,
    },
    'What the control plane observed; written by its controllers only.',
  )
}

/** What every kind's status has in common. */
export interface CommonStatus {
  state?: string
  message?: string
  updateAt?: string
  observedGeneration?: number
  conditions?: Condition[]
}

/** Milliseconds since the epoch as RFC 3339 text. */
export function formatTime(at: EpochMs): string {
  return new Date(at).toISOString()
}

/** As `formatTime`, of the whole second: the form in which Kubernetes writes the times of its own fields. */
export function formatSeconds(at: EpochMs): string {
  return formatTime(at).replace(/\.\d+Z$/, 'Z')
}

/** `conditions` with `next` set; its transition time moves only when its status changes. */
export function withCondition(
  conditions: readonly Condition[] = [],
  next: Omit<Condition, 'lastTransitionTime'>,
  at: EpochMs,
): Condition[] {
  const before = conditions.find(({ type }) => type === next.type)
  const lastTransitionTime = before?.status === next.status ? before.lastTransitionTime : formatTime(at)
  const condition: Condition = { ...next, lastTransitionTime }
  return before ? conditions.map((item) => (item === before ? condition : item)) : [...conditions, condition]
}

export function withoutCondition(conditions: readonly Condition[] = [], type: string): Condition[] {
  return conditions.filter((condition) => condition.type !== type)
}
