import type { KindDefinition } from '#model/resource'
import { badRequest } from './status.ts'

/** Whether an object is meant. */
export type FieldSelector = (object: object) => boolean

/** What stands at a path such as `spec.external`, as text; '' when there is nothing. */
function textAt(object: object, path: string): string {
  let node: unknown = object
  for (const step of path.split('.')) {
    const known = typeof node === 'object' && node !== null && Object.hasOwn(node, step)
    node = known ? (node as Record<string, unknown>)[step] : undefined
  }
  if (typeof node === 'object' || node === undefined) return ''
  return typeof node === 'string' ? node : JSON.stringify(node)
}

/**
 * Reads a field selector: `path=value`, `path==value` and `path!=value` with commas between them, which must all
 * hold; a backslash takes its meaning from a comma, an equals sign or another backslash.
 * @throws RequestRefusal 400, also for a path that the kind cannot be selected by
 */
export function parseFieldSelector(
  text: string,
  { kind, selectableFields = [] }: KindDefinition,
): FieldSelector {
  const fields = ['metadata.name', 'metadata.namespace', ...selectableFields]
  // As in Kubernetes there may be nothing before or after a comma. A backslash before nothing is a term, of no form.
  const terms = text.match(/(?:\\.|[^\\,])+|\\$/gs) ?? []
  const requirements = terms.map((term): FieldSelector => {
    const parts = /^\s*(?<path>[\w.]+)\s*(?<operator>!=|==?)(?<value>(?:\\[\\,=]|[^\\,=])*)$/.exec(
      term,
    )?.groups
    if (!parts) throw badRequest(`fieldSelector: cannot read ${JSON.stringify(term.slice(0, 100))}`)
    const { path, operator } = parts as { path: string; operator: string }
    if (!fields.includes(path)) {
      throw badRequest(`field label not supported: ${path}; a ${kind} is selected by ${fields.join(', ')}`)
    }
    const value = parts['value']!.replaceAll(/\\(.)/g, '$1')
    return (object) => (textAt(object, path) === value) !== (operator === '!=')
  })
  return (object) => requirements.every((holds) => holds(object))
}
