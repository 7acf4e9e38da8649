import {
  unsupportedFields,
  type Condition,
  type Judgement,
  type Kind,
  type ResourceOf,
} from '#model/resource'
import { subjectName } from './plan.ts'
import type { Stream } from './scopes.ts'

export { nextStatus, type DesiredStatus, type Judgement } from '#model/resource'

export function judge(type: string, status: Condition['status'], reason: string, message: string): Judgement {
  return { type, status, reason, message }
}

/** Condition `Unsupported` for what is accepted but not acted on; such an object never reads OK. */
export function unsupportedIn(object: ResourceOf<Kind>): Judgement[] {
  const fields = unsupportedFields(object)
  if (fields.length === 0) return []
  const message = `accepted but not acted on yet: ${fields.join(', ')}`
  return [judge('Unsupported', 'True', 'NotImplemented', message)]
}

// Types that are bad news when True; all others are when False.
const negative = new Set(['NotCapturable'])

/** The bad news of daemons by the object that it is about, `Kind/name` in lower case. */
export type Reports = ReadonlyMap<string, readonly Judgement[]>

/** What daemons report, one judgement for each object and type, with the names of those who have it. */
export function collectReports(streams: readonly Stream[]): Reports {
  const news = streams.flatMap(({ daemon, conditions }) =>
    conditions
      .filter(({ type, status }) => status === (negative.has(type) ? 'True' : 'False'))
      .map((condition) => ({
        ...condition,
        // A daemon that speaks of itself need not know its name.
        subject: condition.subject === 'daemon' ? `daemon/${daemon.name}` : condition.subject,
        daemon: daemon.name,
      })),
  )
  const bySubject = Map.groupBy(news, ({ subject }) => subject.toLowerCase())
  return new Map(
    [...bySubject].map(([subject, items]) => [
      subject,
      [...Map.groupBy(items, ({ type }) => type)].map(([type, [first, ...others]]) => {
        const rest = others.length === 0 ? '' : ` (and ${others.length} more daemons)`
        const message = `on daemon ${first!.daemon}: ${first!.message}${rest}`
        return judge(type, first!.status, first!.reason, message)
      }),
    ]),
  )
}

export function reportedFor(object: ResourceOf<Kind>, reports: Reports): readonly Judgement[] {
  return reports.get(subjectName(object).toLowerCase()) ?? []
}

/** `a, b and 3 more`. */
export function enumerate(names: readonly string[], max = 5): string {
  const shown = names.slice(0, max).join(', ')
  return names.length > max ? `${shown} and ${names.length - max} more` : shown
}
