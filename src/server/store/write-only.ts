import { Secret } from '#base/secret'
import {
  definitionOf,
  fieldErrors,
  invalidResource,
  subjectOf,
  type Resource,
  type ResourceDraft,
} from '#model/resource'
import { hashToken, openData, plainData, type Hidden, type Sealer } from './resource-record.ts'

/**
 * The object with what it hides in its place: the values of a Secret; of a join token its hash, for nothing else is
 * known. SECURITY: to find out what a write changes, never to be given to anyone.
 */
export function reveal(object: Resource, hidden: Hidden, sealer: Sealer): Resource {
  if (object.kind === 'Secret') return { ...object, data: openData(sealer, object.metadata.uid, hidden) }
  if (object.kind !== 'JoinToken' || hidden.tokenHash === undefined) return object
  return { ...object, spec: { ...object.spec, token: hidden.tokenHash } }
}

/** A configuration of a join token, with the token as `reveal` has it. */
export function withHashedToken(config: ResourceDraft): ResourceDraft {
  if (config.kind !== 'JoinToken' || typeof config.spec?.token !== 'string') return config
  return { ...config, spec: { ...config.spec, token: hashToken(Secret.of(config.spec.token)) } }
}

/**
 * A Secret whose values as text have joined those in base64, as they are kept.
 * @throws Fault RESOURCE_INVALID when either are no map of texts, which could not be told any more
 */
export function withPlainData(draft: ResourceDraft): ResourceDraft {
  if (draft.kind !== 'Secret' || (draft.data ?? draft.stringData) === undefined) return draft
  const { data = {}, stringData = {}, ...rest } = draft
  const definition = definitionOf('Secret')
  const errors = [
    ...fieldErrors(definition, 'data', data),
    ...fieldErrors(definition, 'stringData', stringData),
  ]
  if (errors.length > 0) throw invalidResource(subjectOf(definition, draft.metadata.name), errors)
  return { ...rest, data: plainData({ data, stringData }) }
}

type Patched = Partial<Resource> & { metadata: Resource['metadata'] }

/**
 * An object to be patched by somebody who must not see its values.
 * SECURITY: a JSON patch can test a value and copy it into an annotation. So each value of a Secret is replaced by
 * a mark whose beginning nobody can guess; `undisguise` puts the values back where values belong, and refuses any
 * other place.
 */
export function disguise(
  object: Resource,
  hidden: Hidden,
  sealer: Sealer,
  random: (bytes: number) => Uint8Array,
): { target: object; undisguise: (patched: unknown, subject: string) => Patched } {
  const data = object.kind === 'Secret' ? openData(sealer, object.metadata.uid, hidden) : {}
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')
  // As long as base64 needs it to go on behind it.
  const beginning = text(random(24))
  const marks = Object.keys(data).map(
    (key, index) => [key, beginning + text(Buffer.from(String(index)))] as const,
  )
  const values = new Map(marks.map(([key, mark]) => [mark, data[key]!]))
  const disguised = Object.fromEntries(marks)
  return {
    target: object.kind === 'Secret' ? { ...object, data: disguised } : object,
    undisguise(patched, subject) {
      const isObject = typeof patched === 'object' && patched !== null && !Array.isArray(patched)
      const { metadata } = (isObject ? patched : {}) as { metadata?: unknown }
      if (!isObject || typeof metadata !== 'object' || metadata === null || Array.isArray(metadata)) {
        throw invalidResource(subject, [
          { reason: 'FieldValueInvalid', field: 'patch', message: 'Invalid value: no object is left' },
        ])
      }
      if (marks.length === 0) return patched as Patched
      const { data = {}, ...rest } = patched as { data?: Readonly<Record<string, unknown>> }
      const elsewhere = JSON.stringify(rest) + JSON.stringify(Object.keys(data ?? {}))
      if (elsewhere.includes(beginning)) {
        throw invalidResource(subject, [
          {
            reason: 'FieldValueForbidden',
            field: 'patch',
            message: 'Forbidden: values are never given back',
          },
        ])
      }
      const plain = Object.entries(data ?? {}).map(([key, value]) => [
        key,
        values.get(value as string) ?? value,
      ])
      return { ...rest, data: Object.fromEntries(plain) as object } as unknown as Patched
    },
  }
}
