import type { Resource } from '#model/resource'
import type { ServedKind } from './events-view.ts'
import { single, type Query } from './resource-request.ts'
import { parseFieldSelector } from './selectors-field.ts'
import { parseLabelSelector } from './selectors-label.ts'

/** What a request for a collection restricts it to. */
export interface Selection {
  /** Whether nothing is left out. */
  readonly everything: boolean
  matches(object: Resource): boolean
}

/** The selectors of a list, a watch or the deletion of a collection. @throws RequestRefusal 400 */
export function selectionFrom(query: Query, definition: ServedKind): Selection {
  const labels = single(query, 'labelSelector')
  const fields = single(query, 'fieldSelector')
  const byLabels = parseLabelSelector(labels ?? '')
  const byFields = parseFieldSelector(fields ?? '', definition)
  const { present } = definition
  return {
    everything: labels === undefined && fields === undefined,
    matches: (object) => byLabels(object.metadata.labels ?? {}) && byFields(present?.(object) ?? object),
  }
}
