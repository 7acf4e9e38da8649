import { definitionOf, invalid, invalidResource, markErrors, subjectOf, withoutEmpty } from '#model/resource'
import type { FieldError, Kind, Resource, ResourceDraft } from '#model/resource'
import { jsonPatch } from './json-patch.ts'
import { mergePatch } from './merge-patch.ts'
import { structureOfKind } from './ownership.ts'
import type { ResourceRecord, Sealer } from './resource-record.ts'
import { strategicMergePatch } from './strategic-merge-patch.ts'
import { disguise } from './write-only.ts'

/** A change of an object that is told as its difference. */
export type Patch =
  | { readonly type: 'json'; readonly operations: unknown }
  | { readonly type: 'merge'; readonly document: unknown }
  /** Of Kubernetes' own kinds only. */
  | { readonly type: 'strategic'; readonly document: unknown }

/** What is to take an object's place, before anybody has looked whether it is valid. */
export type Candidate = Partial<Omit<ResourceDraft, 'metadata'>> & { metadata: ResourceDraft['metadata'] }

/** What a patch makes of an object. @throws Fault RESOURCE_INVALID, and as the kinds of patch do */
export function patchedRecord(
  { object, hidden }: ResourceRecord,
  patch: Patch,
  { sealer, random }: { sealer: Sealer; random: (bytes: number) => Uint8Array },
): Candidate {
  const { kind, apiVersion, metadata } = object
  const { name, namespace } = metadata
  const { target, undisguise } = disguise(object, hidden, sealer, random)
  const subject = subjectOf(definitionOf(kind), name)
  const patched = undisguise(patchedBy(target, patch, kind, subject), subject)
  // The version that was patched is no wish for one: another attempt begins with what is there then.
  const given = withoutEmpty(patched.metadata)
  const { resourceVersion, ...marks } = given
  const errors = [...identityErrors(object, patched, marks), ...markErrors({ ...given, name, namespace })]
  if (errors.length > 0) throw invalidResource(subject, errors)
  const wished = resourceVersion !== metadata.resourceVersion && { resourceVersion }
  return {
    ...patched,
    apiVersion,
    kind,
    metadata: { ...marks, ...wished, name, ...(namespace !== undefined && { namespace }) },
  } as Candidate
}

/** What says which object it is cannot be patched; a patch that takes it away changes nothing. */
function identityErrors(
  { apiVersion, kind, metadata: { name, namespace } }: Resource,
  patched: { readonly apiVersion?: unknown; readonly kind?: unknown },
  marks: { readonly name?: unknown; readonly namespace?: unknown },
): FieldError[] {
  const same = (field: string, wished: unknown, present: unknown) =>
    (wished ?? present) === present ? [] : [invalid(field, wished, 'field is immutable')]
  return [
    ...same('apiVersion', patched.apiVersion, apiVersion),
    ...same('kind', patched.kind, kind),
    ...same('metadata.name', marks.name, name),
    ...same('metadata.namespace', marks.namespace, namespace),
  ]
}

function patchedBy(target: object, patch: Patch, kind: Kind, subject: string): unknown {
  if (patch.type === 'json') return jsonPatch(target, patch.operations, subject)
  if (patch.type === 'merge') return mergePatch(target, patch.document)
  return strategicMergePatch(target, patch.document, structureOfKind(kind))
}
