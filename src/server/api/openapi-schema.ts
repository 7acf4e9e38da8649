import type { KindDefinition } from '#model/resource'
import { listMetaName, objectMetaName } from './openapi-meta.ts'

/** As much of JSON Schema as our schemas use, and as OpenAPI has it. */
export interface Schema {
  readonly type?: string
  readonly description?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly patternProperties?: Readonly<Record<string, Schema>>
  readonly additionalProperties?: Schema | boolean
  readonly items?: Schema
  readonly anyOf?: readonly Schema[]
  readonly [keyword: string]: unknown
}

/** What OpenAPI v2 and v3 say differently. */
export interface Dialect {
  readonly reference: (name: string, description?: string) => Schema
  /** A value of one of several types; the node has all but the alternatives. */
  readonly union: (node: Schema, alternatives: readonly Schema[]) => Schema
  readonly keywords: ReadonlySet<string>
}

const keywords = [
  'type',
  'format',
  'description',
  'enum',
  'pattern',
  'minimum',
  'maximum',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'required',
]

export const openapiV2: Dialect = {
  reference: (name, description) => ({
    ...(description !== undefined && { description }),
    $ref: `#/definitions/${name}`,
  }),
  // There is no way to say it: clients take anything for a schema without a type.
  union: (node) => node,
  keywords: new Set(keywords),
}

export const openapiV3: Dialect = {
  reference(name, description) {
    const reference = { $ref: `#/components/schemas/${name}` }
    // Beside a reference nothing counts.
    return description === undefined ? reference : { description, allOf: [reference] }
  },
  union: (node, alternatives) => ({ ...node, anyOf: alternatives }),
  keywords: new Set([...keywords, 'writeOnly']),
}

/** A schema of ours in the words of OpenAPI. */
export function publishedSchema(schema: Schema, dialect: Dialect): Schema {
  const { properties, patternProperties, items, anyOf } = schema
  const publish = (inner: Schema) => publishedSchema(inner, dialect)
  const kept = Object.entries(schema).filter(
    ([keyword]) => dialect.keywords.has(keyword) || keyword.startsWith('x-kubernetes-'),
  )
  const [values] = Object.values(patternProperties ?? {})
  const node: Schema = {
    ...Object.fromEntries(kept),
    ...(properties && {
      properties: Object.fromEntries(
        Object.entries(properties).map(([name, inner]) => [name, publish(inner)]),
      ),
    }),
    ...(values && { additionalProperties: publish(values) }),
    ...(items && { items: publish(items) }),
  }
  return anyOf ? dialect.union(node, anyOf.map(publish)) : node
}

export type Named = Pick<KindDefinition, 'group' | 'version' | 'kind'>

/** Such as `io.riptides.core.v1alpha1.Service`; of what Kubernetes has itself as there. */
export function schemaName({ group, version, kind }: Named): string {
  const [own] = (group || 'core').split('.')
  const isOwn = group === '' || group.endsWith('.k8s.io')
  const domain = isOwn ? `io.k8s.api.${own}` : group.split('.').toReversed().join('.')
  return `${domain}.${version}.${kind}`
}

export const groupVersionKind = ({ group, version, kind }: Named) => ({ group, version, kind })

type Described = Pick<KindDefinition, 'group' | 'version' | 'kind' | 'schema' | 'selectableFields'>

/** The schema of the objects of a kind, by name. */
export function objectSchema(definition: Described, dialect: Dialect): Readonly<Record<string, Schema>> {
  const { kind, version, group, selectableFields = [] } = definition
  const { properties, ...object } = publishedSchema(definition.schema as Schema, dialect)
  return {
    [schemaName(definition)]: {
      ...object,
      'x-kubernetes-group-version-kind': [{ group, version, kind }],
      ...(selectableFields.length > 0 && {
        'x-kubernetes-selectable-fields': selectableFields.map((path) => ({ fieldPath: path })),
      }),
      properties: {
        ...properties,
        metadata: dialect.reference(objectMetaName, 'Standard metadata of an object.'),
      },
    },
  }
}

/** The schemas of a kind and of its lists, by name. */
export function kindSchemas(definition: KindDefinition, dialect: Dialect): Readonly<Record<string, Schema>> {
  const { kind, version, group } = definition
  const name = schemaName(definition)
  const objects = objectSchema(definition, dialect)
  const { apiVersion, kind: kindSchema } = objects[name]!.properties!
  return {
    ...objects,
    [`${name}List`]: {
      type: 'object',
      description: `A list of ${kind} objects.`,
      'x-kubernetes-group-version-kind': [{ group, version, kind: `${kind}List` }],
      required: ['items'],
      properties: {
        apiVersion: apiVersion!,
        kind: kindSchema!,
        metadata: dialect.reference(listMetaName, 'Where the list stands.'),
        items: { type: 'array', description: 'The objects.', items: dialect.reference(name) },
      },
    },
  }
}
