// Our kinds as custom resources, made from the schemas by which we ourselves judge them.
import { columnsOf, isNameColumn } from '#model/printing'
import { kinds, type Kind, type KindDefinition } from '#model/resource'
import {
  openapiV2,
  publishedSchema,
  type Dialect,
  type Schema,
} from '../../../src/server/api/openapi-schema.ts'

/** Of any type: structural schemas know no unions but those of Kubernetes. */
const anything = { 'x-kubernetes-preserve-unknown-fields': true }

const structural: Dialect = {
  reference: () => ({ type: 'object' }),
  union: () => anything,
  keywords: openapiV2.keywords,
}

function withTypes(schema: Schema): Schema {
  const { properties, items, additionalProperties } = schema
  if (schema.type === undefined) return anything
  return {
    ...schema,
    ...(properties && {
      properties: Object.fromEntries(
        Object.entries(properties).map(([name, inner]) => [name, withTypes(inner)]),
      ),
    }),
    ...(items && { items: withTypes(items) }),
    ...(typeof additionalProperties === 'object' && {
      additionalProperties: withTypes(additionalProperties),
    }),
  }
}

function schemaOf({ schema }: KindDefinition<Kind>): Schema {
  const { properties, ...object } = withTypes(publishedSchema(schema as Schema, structural))
  const text = { type: 'string' }
  return {
    ...object,
    properties: { ...properties, apiVersion: text, kind: text, metadata: { type: 'object' } },
  }
}

function definitionOf(definition: KindDefinition<Kind>) {
  const { group, kind, plural, singular, shortNames, categories, scope, version } = definition
  const columns = columnsOf(definition).filter((column) => !isNameColumn(column) && 'path' in column)
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope,
      names: { kind, plural, singular, shortNames, categories },
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          subresources: { status: {} },
          selectableFields: (definition.selectableFields ?? []).map((path) => ({ jsonPath: `.${path}` })),
          additionalPrinterColumns: columns.map(({ name, type, description, wide, ...column }) => ({
            name,
            type,
            description,
            priority: wide ? 1 : 0,
            jsonPath: 'path' in column ? column.path : '',
          })),
          schema: { openAPIV3Schema: schemaOf(definition) },
        },
      ],
    },
  }
}

/** The definitions of all kinds that Kubernetes does not have itself. */
export const customResourceDefinitions = kinds
  .filter(({ group }) => group.endsWith('.riptides.io'))
  .map(definitionOf)
