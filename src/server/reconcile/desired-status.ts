import {
  unsupportedFields,
  type Condition,
  type Judgement,
  type Kind,
  type ResourceOf,
} from '#model/resource'

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

/** `a, b and 3 more`. */
export function enumerate(names: readonly string[], max = 5): string {
  const shown = names.slice(0, max).join(', ')
  return names.length > max ? `${shown} and ${names.length - max} more` : shown
}
