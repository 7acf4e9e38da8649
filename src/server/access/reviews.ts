import { Type, type Static, type TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { invalidResource } from '#model/resource'
import {
  isAllowed,
  rulesFor,
  type AccessPolicy,
  type AccessRequest,
  type PolicyRule,
  type User,
} from '#model/access'

const text = Type.Optional(Type.String({ maxLength: 2048 }))
const texts = Type.Optional(Type.Array(Type.String({ maxLength: 2048 }), { maxItems: 1000 }))

const asked = {
  resourceAttributes: Type.Optional(
    Type.Object({
      namespace: text,
      verb: text,
      group: text,
      version: text,
      resource: text,
      subresource: text,
      name: text,
    }),
  ),
  nonResourceAttributes: Type.Optional(Type.Object({ path: text, verb: text })),
}

const accessReview = Type.Object({ spec: Type.Object({ ...asked, user: text, uid: text, groups: texts }) })
const rulesReview = Type.Object({ spec: Type.Object({ namespace: text }) })
const tokenReview = Type.Object({
  spec: Type.Object({ token: Type.String({ maxLength: 65_536 }), audiences: texts }),
})
const tokenRequest = Type.Object({
  spec: Type.Optional(
    Type.Object({
      audiences: texts,
      expirationSeconds: Type.Optional(Type.Integer({ minimum: 0, maximum: 2 ** 32 })),
      boundObjectRef: Type.Optional(Type.Unknown()),
    }),
  ),
})

function reader<S extends TSchema>(kind: string, schema: S): (body: unknown) => Static<S> {
  const validator = Compile(schema)
  return (body) => {
    if (validator.Check(body)) return body
    throw invalid(kind, 'spec', 'Invalid value: not of the form that is expected')
  }
}

const invalid = (kind: string, field: string, message: string) =>
  invalidResource(kind, [{ reason: 'FieldValueInvalid', field, message }])

export const readAccessReview = reader('SubjectAccessReview', accessReview)
export const readRulesReview = reader('SelfSubjectRulesReview', rulesReview)
export const readTokenReview = reader('TokenReview', tokenReview)
export const readTokenRequest = reader('TokenRequest', tokenRequest)
export { invalid }

type AccessSpec = Static<typeof accessReview>['spec']

/** What a review asks about. @throws Fault RESOURCE_INVALID unless it is about exactly one thing */
export function requestOf({ resourceAttributes, nonResourceAttributes }: AccessSpec): AccessRequest {
  if ((resourceAttributes === undefined) === (nonResourceAttributes === undefined)) {
    throw invalid(
      'SubjectAccessReview',
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
