import type { Static, TSchema } from 'typebox'
import {
  isAllowed,
  rulesFor,
  type AccessPolicy,
  type AccessRequest,
  type PolicyRule,
  type User,
} from '#model/access'
import {
  fieldErrors,
  invalidResource,
  notSupported,
  withoutNulls,
  withoutUnknownFields,
} from '#model/resource'
import type { Question, selfSubjectAccessReview } from './questions.ts'

export const invalid = (kind: string, field: string, message: string) =>
  invalidResource(kind, [{ reason: 'FieldValueInvalid', field, message }])

interface Asked<S extends TSchema> extends Question {
  readonly schema: S
}

/**
 * What a question asks. Null is as absent, as clients in Go write it, and fields that the question does not have are
 * passed over unless `strict`: those who ask may be newer than we are.
 * @throws Fault RESOURCE_INVALID
 */
export function specOf<S extends TSchema>(
  question: Asked<S>,
  body: unknown,
  { strict }: { strict: boolean },
): Static<S> extends { spec?: infer Spec } ? NonNullable<Spec> : never {
  const { kind, apiVersion, schema } = question
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw invalid(kind, '', 'Invalid value: an object is expected')
  const given = withoutNulls(body)
  const known = strict ? given : withoutUnknownFields(given, schema).value
  const { spec = {}, ...marks } = known as Readonly<Record<string, unknown>>
  const errors = [
    ...Object.entries({ apiVersion, kind })
      .filter(([name, wanted]) => marks[name] !== undefined && marks[name] !== wanted)
      .map(([name, wanted]) => notSupported(name, marks[name], [wanted])),
    ...fieldErrors(question, 'spec', spec),
  ]
  if (errors.length > 0) throw invalidResource(kind, errors)
  return spec as ReturnType<typeof specOf<S>>
}

type AccessSpec = Static<typeof selfSubjectAccessReview.schema>['spec']

/** What a review asks about. @throws Fault RESOURCE_INVALID unless it is about exactly one thing */
export function requestOf(
  { kind }: Pick<Question, 'kind'>,
  { resourceAttributes, nonResourceAttributes }: AccessSpec,
): AccessRequest {
  if ((resourceAttributes === undefined) === (nonResourceAttributes === undefined)) {
    throw invalid(
      kind,
      'spec.resourceAttributes',
      'Invalid value: exactly one of nonResourceAttributes or resourceAttributes must be specified',
    )
  }
  if (nonResourceAttributes) {
    const { verb = '', path = '' } = nonResourceAttributes
    return { verb, path }
  }
  // SECURITY: these alone. With a `path` among them it would be a question about a path, past who may ask those.
  const {
    verb = '',
    group = '',
    version = '',
    resource = '',
    subresource = '',
    namespace = '',
    name = '',
  } = resourceAttributes!
  return { verb, group, version, resource, subresource, namespace, name }
}

/** The status of an access review. */
export function accessStatus(policy: AccessPolicy, user: User, request: AccessRequest) {
  return { allowed: isAllowed(policy, user, request) }
}

/** The status of a rules review: all that a user may do in a namespace. */
export function rulesStatus(policy: AccessPolicy, user: User, namespace: string) {
  const rules = rulesFor(policy, user, namespace)
  const isPath = ({ nonResourceURLs = [] }: PolicyRule) => nonResourceURLs.length > 0
  return {
    resourceRules: rules.filter((rule) => !isPath(rule)),
    nonResourceRules: rules.filter(isPath),
    incomplete: false,
  }
}
