import type { Question } from '#server/access'
import { questionsOf } from './discovery.ts'
import type { ServedKind } from './events-view.ts'
import { deleteOptionsName, metaSchemas, patchName } from './openapi-meta.ts'
import { camelGroup, operationsOf, type Operation, type Parameter } from './openapi-paths.ts'
import {
  groupVersionKind,
  kindSchemas,
  objectSchema,
  openapiV2,
  openapiV3,
  publishedSchema,
  type Dialect,
  type Schema,
} from './openapi-schema.ts'

const json = 'application/json'
// Not the strategic merge patch, which is taken for some kinds: told of it, kubectl would make one of these schemas,
// which do not say how lists merge. For the kinds that Kubernetes has itself it knows.
const patchTypes = [
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/apply-patch+yaml',
]
const bodyTypes = ({ body }: Operation) => (body === patchName ? patchTypes : [json])

type Described = ServedKind | Question

function schemasOf(kinds: readonly Described[], dialect: Dialect): Readonly<Record<string, Schema>> {
  const common = Object.entries(metaSchemas).map(([name, schema]) => [name, publishedSchema(schema, dialect)])
  const own = kinds
    .flatMap((definition) => [
      'isAsked' in definition ? objectSchema(definition, dialect) : kindSchemas(definition, dialect),
      ...questionsOf(definition).map(([, question]) => objectSchema(question, dialect)),
    ])
    .flatMap(Object.entries<Schema>)
  return Object.fromEntries([...common, ...own]) as Record<string, Schema>
}

/** Such as `core_v1`: generators make a class of what has the same. */
function tagOf({ group, version }: Described): string {
  const name = camelGroup(group)
  return `${name.charAt(0).toLowerCase()}${name.slice(1)}_${version}`
}

/** Options of a deletion may be left out; without an object or a patch there is nothing to write. */
const needsBody = ({ body }: Operation) => body !== undefined && body !== deleteOptionsName

/** The operations of some kinds by path and method, each in the words that `render` has for it. */
function pathsOf(kinds: readonly Described[], render: (operation: Operation) => object): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const definition of kinds) {
    for (const operation of operationsOf(definition)) {
      paths[operation.path] = {
        ...paths[operation.path],
        [operation.method]: {
          operationId: operation.id,
          description: operation.description,
          tags: [tagOf(definition)],
          'x-kubernetes-action': operation.action,
          'x-kubernetes-group-version-kind': groupVersionKind(operation.about),
          ...render(operation),
        },
      }
    }
  }
  return paths
}

const info = (version: string) => ({
  title: 'Tideway',
  version,
  description: 'The resource API of the control plane, with the conventions of Kubernetes.',
})

/** OpenAPI 2.0 of all kinds. */
export function openapiV2Document(kinds: readonly Described[], version: string): object {
  const parameter = ({ name, in: place, type, description }: Parameter) => ({
    name,
    in: place,
    type,
    description,
    ...(place === 'path' && { required: true }),
  })
  const render = (operation: Operation) => ({
    consumes: bodyTypes(operation),
    produces: [json],
    parameters: [
      ...operation.parameters.map(parameter),
      ...(operation.body === undefined
        ? []
        : [
            {
              name: 'body',
              in: 'body',
              ...(needsBody(operation) && { required: true }),
              schema: openapiV2.reference(operation.body),
            },
          ]),
    ],
    responses: {
      [operation.status]: { description: 'Done.', schema: openapiV2.reference(operation.answer) },
      401: { description: 'The bearer token is missing or unknown.' },
    },
  })
  return {
    swagger: '2.0',
    info: info(version),
    paths: pathsOf(kinds, render),
    definitions: schemasOf(kinds, openapiV2),
    // There is no other way to say it.
    securityDefinitions: { BearerToken: { type: 'apiKey', name: 'authorization', in: 'header' } },
    security: [{ BearerToken: [] }],
  }
}

/** OpenAPI 3.0 of the kinds of one group. */
export function openapiV3Document(kinds: readonly Described[], version: string): object {
  const parameter = ({ name, in: place, type, description }: Parameter) => ({
    name,
    in: place,
    description,
    schema: { type },
    ...(place === 'path' && { required: true }),
  })
  const content = (types: readonly string[], name: string) =>
    Object.fromEntries(types.map((type) => [type, { schema: openapiV3.reference(name) }]))
  const render = (operation: Operation) => ({
    parameters: operation.parameters.map(parameter),
    ...(operation.body !== undefined && {
      requestBody: {
        content: content(bodyTypes(operation), operation.body),
        ...(needsBody(operation) && { required: true }),
      },
    }),
    responses: {
      [operation.status]: { description: 'Done.', content: content([json], operation.answer) },
      401: { description: 'The bearer token is missing or unknown.' },
    },
  })
  return {
    openapi: '3.0.0',
    info: info(version),
    paths: pathsOf(kinds, render),
    components: {
      schemas: schemasOf(kinds, openapiV3),
      securitySchemes: { BearerToken: { type: 'http', scheme: 'bearer' } },
    },
    security: [{ BearerToken: [] }],
  }
}
