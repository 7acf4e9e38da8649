import type { KindDefinition, Resource } from '#model/resource'
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
export function selectionFrom(query: Query, definition: KindDefinition): Selection {
  const labels = single(query, 'labelSelector')
  const fields = single(query, 'fieldSelector')
  const byLabels = parseLabelSelector(labels ?? '')
  const byFields = parseFieldSelector(fields ?? '', definition)
  return {
    everything: labels === undefined && fields === undefined,
    matches: (object) => byLabels(object.metadata.labels ?? {}) && byFields(object),
  }
}
