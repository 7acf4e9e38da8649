import type { Kind, ResourceOf } from '#model/resource'
import type { Judgement } from './desired-status.ts'
import { subjectName } from './plan.ts'
import type { ReportedCondition } from './ports.ts'

// Types that are bad news when True; all others are when False.
const negative = new Set(['NotCapturable'])

/** The bad news of daemons, by the object that it is about. */
export interface Reports {
  /** One judgement for each type, with the names of those who have it. */
  about(object: ResourceOf<Kind>): readonly Judgement[]
}

export interface ReportBook extends Reports {
  /** All that a daemon says now. Returns what the news is about: `kind/name` in lower case. */
  replace(daemonName: string, conditions: readonly ReportedCondition[]): Iterable<string>
}

export function openReportBook(): ReportBook {
  const bySubject = new Map<string, Map<string, ReportedCondition[]>>()
  const subjectsOf = new Map<string, ReadonlySet<string>>()

  return {
    about(object) {
      const said = [...(bySubject.get(subjectName(object).toLowerCase()) ?? [])]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .flatMap(([daemon, conditions]) => conditions.map((condition) => ({ ...condition, daemon })))
      return [...Map.groupBy(said, ({ type }) => type)].map(([type, [first, ...others]]) => {
        const rest = others.length === 0 ? '' : ` (and ${others.length} more daemons)`
        const message = `on daemon ${first!.daemon}: ${first!.message}${rest}`
        const { status, reason } = first!
        return { type, status, reason, message }
      })
    },
    replace(daemonName, conditions) {
      const before = subjectsOf.get(daemonName) ?? new Set()
      for (const subject of before) {
        const about = bySubject.get(subject)
        about?.delete(daemonName)
        if (about?.size === 0) bySubject.delete(subject)
      }
      const bad = conditions.filter(({ type, status }) => status === (negative.has(type) ? 'True' : 'False'))
      const news = Map.groupBy(bad, ({ subject }) =>
        // A daemon that speaks of itself need not know its name.
        (subject === 'daemon' ? `daemon/${daemonName}` : subject).toLowerCase(),
      )
      for (const [subject, said] of news) {
        const about = bySubject.get(subject) ?? new Map<string, ReportedCondition[]>()
        bySubject.set(subject, about.set(daemonName, said))
      }
      if (news.size > 0) subjectsOf.set(daemonName, new Set(news.keys()))
      else subjectsOf.delete(daemonName)
      return new Set([...before, ...news.keys()])
    },
  }
}
