import {
  reportedTypes,
  seeItsLog,
  unsupportedFields,
  type Condition,
  type Judgement,
  type Kind,
  type Reason,
  type ResourceOf,
} from '#model/resource'
import type { Reports } from './reports.ts'

export { nextStatus, seeItsLog, type DesiredStatus, type Judgement } from '#model/resource'

export function judge(type: string, status: Condition['status'], reason: Reason, message: string): Judgement {
  return { type, status, reason, message }
}

/** What is said of `object` as it is: it stands until whoever leads since a moment ago has looked, too. */
export function saidBefore(
  { metadata, status }: ResourceOf<'CredentialSource' | 'CredentialBinding'>,
  type: string,
): Judgement | undefined {
  if (status?.observedGeneration !== metadata.generation) return undefined
  const known = status.conditions?.find((condition) => condition.type === type)
  return known && judge(type, known.status, known.reason as Reason, known.message)
}

/** Condition `Unsupported` for what is accepted but not acted on; such an object never reads OK. */
export function unsupportedIn(object: ResourceOf<Kind>): Judgement[] {
  const fields = unsupportedFields(object)
  if (fields.length === 0) return []
  const message = `this version does not act on ${enumerate(fields)}: leave that out, or the object never reads as good`
  return [notImplemented(message)]
}

export function notImplemented(message: string): Judgement {
  return judge('Unsupported', 'True', 'NotImplemented', message)
}

/** What to do where daemons go without something of a namespace, for their scopes are full. */
export function roomFor(namespace: string): string {
  return (
    `namespace ${namespace} wants more of it than its share, and what is youngest is left out: delete there what ` +
    'nobody needs, make selectors and Services smaller, or spread workloads over more daemon groups'
  )
}

/** What daemons say of an object, with what to do about it. */
export function reportedOn(object: ResourceOf<Kind>, reports: Reports): Judgement[] {
  return reports.about(object).map((judgement) => {
    const { remedy } = reportedTypes[judgement.type] ?? { remedy: seeItsLog }
    return remedy === undefined ? judgement : { ...judgement, message: `${judgement.message}: ${remedy}` }
  })
}

/** `a, b and 3 more`: the first in the order of code units, whatever order they come in. */
export function enumerate(names: readonly string[], max = 5): string {
  const first: string[] = []
  // They may be thousands: nothing else is sorted.
  for (const name of names) {
    if (first.length === max && name >= first.at(-1)!) continue
    const at = first.findIndex((one) => name < one)
    first.splice(at < 0 ? first.length : at, 0, name)
    if (first.length > max) first.pop()
  }
  const more = names.length - first.length
  return first.join(', ') + (more > 0 ? ` and ${more} more` : '')
}
