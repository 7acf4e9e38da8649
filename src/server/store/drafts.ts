import {
  definitionOf,
  expectResource,
  fieldErrors,
  invalidResource,
  subjectOf,
  withoutNulls,
  withoutUnknownFields,
  type Resource,
} from '#model/resource'
import type { WriteOptions } from './write-options.ts'

/** Untrusted input with fields that the kind does not have dropped, if the writer says so. */
export function withKnownFields(input: object, { unknownFields = 'refuse', warn }: WriteOptions): object {
  if (unknownFields === 'refuse') return input
  const { value, unknown } = withoutUnknownFields(input)
  if (unknownFields === 'warn') for (const path of unknown) warn?.(`unknown field "${path}"`)
  return value as object
}

/** A valid draft of untrusted input. @throws Fault RESOURCE_INVALID */
export function expectDraft(input: object, options: WriteOptions): ReturnType<typeof expectResource> {
  return expectResource(withKnownFields(input, options))
}

/**
 * An object with the status of untrusted input. Looks at the status alone: an object that was valid when it was
 * written may fail a rule of a newer version, and its status must be able to say so.
 * @throws Fault RESOURCE_INVALID
 */
export function expectStatus(
  before: Resource,
  { status }: { readonly status?: unknown },
  options: WriteOptions,
): Resource {
  const { apiVersion, kind, metadata } = before
  const known = withKnownFields({ apiVersion, kind, status: withoutNulls(status ?? {}) }, options)
  const object = { ...before, ...known }
  const definition = definitionOf(kind)
  const errors = fieldErrors(definition, 'status', object.status)
  if (errors.length > 0) throw invalidResource(subjectOf(definition, metadata.name), errors)
  return object
}
