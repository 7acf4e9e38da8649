import { forbidden, invalid, type FieldError, type Resource } from '#model/resource'

const whenImmutable = 'field is immutable when `immutable` is set'

/**
 * What may not change of a Secret: its type, and once it says `immutable` that and its values, as in Kubernetes.
 * `isRevalued`: the values differ, which the objects do not show.
 */
export function immutableFieldErrors(
  before: Resource,
  after: Resource,
  { isRevalued }: { isRevalued: boolean },
): FieldError[] {
  if (before.kind !== 'Secret' || after.kind !== 'Secret') return []
  return [
    ...(after.type === before.type ? [] : [invalid('type', after.type, 'field is immutable')]),
    ...(before.immutable && !after.immutable ? [forbidden('immutable', whenImmutable)] : []),
    ...(before.immutable && isRevalued ? [forbidden('data', whenImmutable)] : []),
  ]
}
