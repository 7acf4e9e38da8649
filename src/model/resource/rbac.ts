import { Type, type Static } from 'typebox'
import { at, forbidden, notSupported, required, type FieldError } from './field-error.ts'
import { ageColumn, type KindDefinition } from './kind.ts'
import { objectMeta, type ClusterObjectMeta, type ObjectMeta } from './object-meta.ts'
import { choice, closed, list, stringMap, text } from './schema.ts'

const group = 'rbac.authorization.k8s.io'
const version = 'v1'
const apiVersion = `${group}/${version}`

// The words of rules may be empty: the core group of Kubernetes is ''.
const word = (description: string) => Type.String({ maxLength: 2048, description })

const rule = closed(
  {
    verbs: list(word('A verb, or * for all.'), 'What may be done, such as get, list, watch or create.', {
      minItems: 1,
    }),
    apiGroups: Type.Optional(
      list(
        word('An API group; empty for Secrets and other kinds of v1, * for all.'),
        'Groups of the resources.',
      ),
    ),
    resources: Type.Optional(
      list(word('A plural, a subresource such as serviceaccounts/token, or *.'), 'What it may be done to.'),
    ),
    resourceNames: Type.Optional(
      list(word('Name of an object.'), 'Only to objects of these names; to all unless given.'),
    ),
    nonResourceURLs: Type.Optional(
      list(
        word('A path such as /audit, or the beginning of paths with * at its end.'),
        'Paths of the server.',
      ),
    ),
  },
  'One thing that is allowed: verbs on resources, or on paths.',
)

const rules = list(rule, 'What is allowed; all of it adds up.')

const labelSelector = closed(
  {
    matchLabels: Type.Optional(stringMap('Labels with these values.')),
    matchExpressions: Type.Optional(
      list(
        closed(
          {
            key: text('A label.'),
            operator: choice(['In', 'NotIn', 'Exists', 'DoesNotExist'], 'What must hold of its value.'),
            values: Type.Optional(list(word('A value.'), 'Values; for In and NotIn.')),
          },
          'What must hold of one label.',
        ),
        'What must hold of labels.',
      ),
    ),
  },
  'ClusterRoles of which all of this holds.',
)

const aggregationRule = closed(
  {
    clusterRoleSelectors: list(labelSelector, 'Whose rules are gathered: any of these selects.', {
      minItems: 1,
    }),
  },
  'Makes the rules those of other ClusterRoles; what is written there is replaced.',
)

const subject = closed(
  {
    kind: choice(['User', 'Group', 'ServiceAccount'], 'What the subject is.'),
    name: text('Name of the user, group or service account.'),
    namespace: Type.Optional(text('Namespace of the service account.')),
    apiGroup: Type.Optional(word(`${group} for users and groups, empty for service accounts.`)),
  },
  'Somebody to whom the role is given.',
)

const subjects = Type.Optional(list(subject, 'To whom the role is given.'))

const roleRef = <K extends string[]>(kinds: readonly [...K]) =>
  closed(
    {
      apiGroup: Type.Optional(word(`Always ${group}.`)),
      kind: choice(kinds, 'Kind of the role.'),
      name: text('Name of the role.'),
    },
    'The role that is given. It cannot be changed afterwards.',
  )

function objectOf<K extends string, P extends Record<string, Type.TSchema>>(
  kind: K,
  properties: P,
  description: string,
) {
  return Type.Object(
    {
      apiVersion: Type.Literal(apiVersion, { description: 'API group and version.' }),
      kind: Type.Literal(kind, { description: 'Kind of the object.' }),
      metadata: objectMeta,
      ...properties,
    },
    { additionalProperties: false, description },
  )
}

export type PolicyRule = Static<typeof rule>
export type Subject = Static<typeof subject>

interface Stored<K extends string, Meta> {
  apiVersion: string
  kind: K
  metadata: Meta
  /** Nothing is observed about it; here so that every object may be asked. */
  status?: undefined
}

interface RoleRef<K extends string> {
  apiGroup?: string
  kind: K
  name: string
}

export interface Role extends Stored<'Role', ObjectMeta> {
  rules?: PolicyRule[]
}
export interface ClusterRole extends Stored<'ClusterRole', ClusterObjectMeta> {
  aggregationRule?: Static<typeof aggregationRule>
  rules?: PolicyRule[]
}
export interface RoleBinding extends Stored<'RoleBinding', ObjectMeta> {
  subjects?: Subject[]
  roleRef: RoleRef<'Role' | 'ClusterRole'>
}
export interface ClusterRoleBinding extends Stored<'ClusterRoleBinding', ClusterObjectMeta> {
  subjects?: Subject[]
  roleRef: RoleRef<'ClusterRole'>
}

/** Kubernetes' rules for rules (pkg/apis/rbac/validation ValidatePolicyRule). */
function checkRules(rules: readonly PolicyRule[] = [], namespaced: boolean): FieldError[] {
  return rules.flatMap(({ apiGroups = [], resources = [], nonResourceURLs = [] }, index) => {
    const path = at('rules', index)
    if (nonResourceURLs.length > 0) {
      const field = at(path, 'nonResourceURLs')
      if (namespaced) return [forbidden(field, 'namespaced rules cannot apply to non-resource URLs')]
      if (apiGroups.length + resources.length > 0)
        return [forbidden(field, 'rules cannot apply to both regular resources and non-resource URLs')]
      return []
    }
    return [
      ...(apiGroups.length === 0
        ? [required(at(path, 'apiGroups'), 'resource rules must supply at least one api group')]
        : []),
      ...(resources.length === 0
        ? [required(at(path, 'resources'), 'resource rules must supply at least one resource')]
        : []),
    ]
  })
}

function checkBinding(
  { subjects = [], roleRef }: Pick<RoleBinding | ClusterRoleBinding, 'subjects' | 'roleRef'>,
  namespaced: boolean,
): FieldError[] {
  const { apiGroup = group } = roleRef
  return [
    ...(apiGroup === group ? [] : [notSupported('roleRef.apiGroup', apiGroup, [group])]),
    ...subjects.flatMap(({ kind, namespace, apiGroup }, index) => {
      const path = at('subjects', index)
      const own = kind === 'ServiceAccount' ? '' : group
      return [
        ...((apiGroup ?? own) === own ? [] : [notSupported(at(path, 'apiGroup'), apiGroup, [own])]),
        ...(kind === 'ServiceAccount' && namespace === undefined && !namespaced
          ? [required(at(path, 'namespace'))]
          : []),
      ]
    }),
  ]
}

const roleColumns = [ageColumn]
const bindingColumns = [
  { name: 'ROLE', path: '.roleRef.name', type: 'string', description: 'The role that is given.' },
  { name: 'TO', path: '.subjects[*].name', type: 'string', description: 'To whom it is given.' },
  ageColumn,
] as const

const common = {
  group,
  version,
  apiVersion,
  names: 'path-segment',
  shortNames: [],
  categories: ['tideway'],
  aliases: [],
  warn: () => [],
  unsupported: () => [],
} as const

const roleText = 'What whoever it is given to may do in its namespace.'
const clusterRoleText = 'What whoever it is given to may do, in one namespace or everywhere.'
const roleBindingText = 'Gives a role to users, groups or service accounts in its namespace.'
const clusterRoleBindingText = 'Gives a ClusterRole to users, groups or service accounts everywhere.'

export const role = {
  ...common,
  kind: 'Role',
  scope: 'Namespaced',
  plural: 'roles',
  singular: 'role',
  description: roleText,
  schema: objectOf('Role', { rules: Type.Optional(rules) }, roleText),
  columns: roleColumns,
  check: ({ rules }: Role) => checkRules(rules, true),
} as const satisfies KindDefinition<'Role'>

export const clusterRole = {
  ...common,
  kind: 'ClusterRole',
  scope: 'Cluster',
  plural: 'clusterroles',
  singular: 'clusterrole',
  description: clusterRoleText,
  schema: objectOf(
    'ClusterRole',
    { rules: Type.Optional(rules), aggregationRule: Type.Optional(aggregationRule) },
    clusterRoleText,
  ),
  columns: roleColumns,
  check: ({ rules }: ClusterRole) => checkRules(rules, false),
} as const satisfies KindDefinition<'ClusterRole'>

export const roleBinding = {
  ...common,
  kind: 'RoleBinding',
  scope: 'Namespaced',
  plural: 'rolebindings',
  singular: 'rolebinding',
  description: roleBindingText,
  schema: objectOf('RoleBinding', { subjects, roleRef: roleRef(['Role', 'ClusterRole']) }, roleBindingText),
  columns: bindingColumns,
  check: (object: RoleBinding) => checkBinding(object, true),
} as const satisfies KindDefinition<'RoleBinding'>

export const clusterRoleBinding = {
  ...common,
  kind: 'ClusterRoleBinding',
  scope: 'Cluster',
  plural: 'clusterrolebindings',
  singular: 'clusterrolebinding',
  description: clusterRoleBindingText,
  schema: objectOf(
    'ClusterRoleBinding',
    { subjects, roleRef: roleRef(['ClusterRole']) },
    clusterRoleBindingText,
  ),
  columns: bindingColumns,
  check: (object: ClusterRoleBinding) => checkBinding(object, false),
} as const satisfies KindDefinition<'ClusterRoleBinding'>
