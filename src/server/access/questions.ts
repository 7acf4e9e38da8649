import { Type, type TProperties } from 'typebox'
import type { KindDefinition } from '#model/resource'

/** A kind that has no objects: it is asked with a specification, answered with a status, and not kept. */
export interface Question extends Pick<
  KindDefinition,
  'group' | 'apiVersion' | 'version' | 'kind' | 'plural' | 'singular' | 'scope' | 'schema'
> {
  readonly isAsked: true
}

const maxLength = 2048
const text = (description: string) => Type.Optional(Type.String({ description, maxLength }))
const texts = (description: string) =>
  Type.Optional(
    Type.Array(Type.String({ description: 'One of them.', maxLength }), { description, maxItems: 1000 }),
  )
const part = <P extends TProperties>(description: string, properties: P) =>
  Type.Object(properties, { description, additionalProperties: false })

const values = Type.Array(Type.String({ description: 'One of them.', maxLength }), {
  description: 'The values of one attribute.',
})
const extra = Type.Optional(
  Type.Record(Type.String(), values, { description: 'Further attributes. Users have none here.' }),
)

const selection = (unit: 'field' | 'label') =>
  Type.Optional(
    part(`Objects with certain ${unit}s only. Rights do not depend on it.`, {
      rawSelector: text(`A ${unit} selector as in a request.`),
      requirements: Type.Optional(
        Type.Array(
          part('What must hold of an object.', {
            key: Type.String({ description: `The ${unit}.`, maxLength }),
            operator: Type.String({ description: 'In, NotIn, Exists or DoesNotExist.', maxLength }),
            values: texts('The values that are meant.'),
          }),
          { description: `The parts of a ${unit} selector.`, maxItems: 1000 },
        ),
      ),
    }),
  )

const asked = {
  resourceAttributes: Type.Optional(
    part('Something done to objects. Either this or nonResourceAttributes is asked about.', {
      namespace: text('Where; everywhere unless given.'),
      verb: text('What: get, list, watch, create, update, patch, delete and so on, or * for all.'),
      group: text('API group of the kind, or * for all.'),
      version: text('API version of the kind, or * for all.'),
      resource: text('Plural of the kind, or * for all.'),
      subresource: text('A part of the object, such as status.'),
      name: text('Name of the object; all of them unless given.'),
      fieldSelector: selection('field'),
      labelSelector: selection('label'),
    }),
  ),
  nonResourceAttributes: Type.Optional(
    part('A request for a path that is no object.', {
      path: text('The path, such as /audit.'),
      verb: text('The method in lower case, such as get.'),
    }),
  ),
}

const subject = {
  user: text('User name. Without groups, it is asked what he may who is in none.'),
  uid: text('What he alone has of all who had his name.'),
  groups: texts('Groups that he is in.'),
  extra,
}

const allowed = Type.Optional(
  part('The answer.', {
    allowed: Type.Boolean({ description: 'Whether it is allowed.' }),
    denied: Type.Optional(Type.Boolean({ description: 'Not set here: what is not allowed is refused.' })),
    reason: text('Why; not set here.'),
    evaluationError: text('What stood against an answer; not set here.'),
  }),
)

const verbs = Type.Array(Type.String({ description: 'A verb.' }), {
  description: 'What may be done, or * for all.',
})

const rules = Type.Optional(
  part('The answer: all that may be done in the namespace.', {
    resourceRules: Type.Array(
      part('A rule.', {
        verbs,
        apiGroups: texts('API groups of the kinds, or * for all.'),
        resources: texts('Plurals of the kinds, or * for all.'),
        resourceNames: texts('Names of the objects; all of them unless given.'),
      }),
      { description: 'What may be done to objects.' },
    ),
    nonResourceRules: Type.Array(
      part('A rule.', {
        verbs,
        nonResourceURLs: texts('Paths. One that ends in * means all that begin like it.'),
      }),
      { description: 'What may be done at paths that are no objects.' },
    ),
    incomplete: Type.Boolean({ description: 'Whether more may be allowed than is said.' }),
    evaluationError: text('What stood against a complete answer; not set here.'),
  }),
)

const user = Type.Optional(
  part('Who it is.', {
    username: text('User name.'),
    uid: text('What he alone has of all who had his name.'),
    groups: texts('Groups that he is in.'),
    extra,
  }),
)

function question<const K extends string, P extends TProperties>(
  name: 'authentication' | 'authorization',
  kind: K,
  description: string,
  properties: P,
  scope: Question['scope'] = 'Cluster',
) {
  const group = `${name}.k8s.io`
  const singular = kind.toLowerCase()
  const marks = { apiVersion: text('API group and version.'), kind: text('Kind of the question.') }
  return {
    group,
    apiVersion: `${group}/v1`,
    version: 'v1',
    kind,
    plural: `${singular}s`,
    singular,
    scope,
    schema: part(description, { ...marks, metadata: Type.Optional(Type.Unknown()), ...properties }),
    isAsked: true,
  } as const satisfies Question
}

export const selfSubjectReview = question(
  'authentication',
  'SelfSubjectReview',
  'Who am I? Asks as whom the request is made.',
  { status: Type.Optional(part('The answer.', { userInfo: user })) },
)

export const tokenReview = question('authentication', 'TokenReview', 'Asks whose a bearer token is.', {
  spec: part('What is asked.', {
    token: Type.String({ description: 'The token; not given back.', maxLength: 65_536, writeOnly: true }),
    audiences: texts('For any of these it must be; for this API unless given.'),
  }),
  status: Type.Optional(
    part('The answer.', {
      authenticated: Type.Optional(Type.Boolean({ description: 'Whether the token is accepted.' })),
      user,
      audiences: texts('Those of the audiences that the token is for.'),
      error: text('That the token is not accepted.'),
    }),
  ),
})

export const tokenRequest = question(
  'authentication',
  'TokenRequest',
  'Asks for a token of a service account.',
  {
    spec: Type.Optional(
      part('What is asked for.', {
        audiences: texts('Whom it is for; this API unless given.'),
        expirationSeconds: Type.Optional(
          Type.Integer({
            description: 'How long it lasts; an hour unless given.',
            minimum: 0,
            maximum: 2 ** 32,
          }),
        ),
        boundObjectRef: Type.Optional(
          part('Refused: tokens end with their account alone.', {
            apiVersion: text('API version of an object.'),
            kind: text('Kind of an object.'),
            name: text('Name of an object.'),
            uid: text('uid of an object.'),
          }),
        ),
      }),
    ),
    status: Type.Optional(
      part('The answer.', {
        token: Type.Optional(Type.String({ description: 'The token.' })),
        expirationTimestamp: Type.Optional(
          Type.String({ format: 'date-time', description: 'When it expires.' }),
        ),
      }),
    ),
  },
  'Namespaced',
)

export const selfSubjectAccessReview = question(
  'authorization',
  'SelfSubjectAccessReview',
  'Asks whether whoever asks may do something.',
  { spec: part('What is asked.', asked), status: allowed },
)

export const subjectAccessReview = question(
  'authorization',
  'SubjectAccessReview',
  'Asks whether somebody may do something.',
  { spec: part('What is asked.', { ...asked, ...subject }), status: allowed },
)

export const localSubjectAccessReview = question(
  'authorization',
  'LocalSubjectAccessReview',
  'Asks whether somebody may do something in one namespace.',
  {
    spec: part('What is asked. Its namespace is that of the path.', { ...asked, ...subject }),
    status: allowed,
  },
  'Namespaced',
)

export const selfSubjectRulesReview = question(
  'authorization',
  'SelfSubjectRulesReview',
  'Asks what whoever asks may do in a namespace.',
  {
    spec: part('What is asked.', { namespace: text('The namespace; must be given.') }),
    status: rules,
  },
)

/** All that have a path of their own; a TokenRequest is asked of a ServiceAccount. */
export const questions: readonly Question[] = [
  selfSubjectReview,
  tokenReview,
  localSubjectAccessReview,
  selfSubjectAccessReview,
  selfSubjectRulesReview,
  subjectAccessReview,
]
