// What OpenAPI v3 documents say of operations: of it clients are generated.
import { readJson } from './normal.ts'
import type { Server } from './servers.ts'

/** An operation, as far as it can be compared. */
interface Operation {
  readonly id: string
  readonly tags: readonly string[]
  readonly action: string
  readonly kind: object
  readonly parameters: readonly string[]
  readonly needsBody: boolean
  /** Name of the schema of the answer. */
  readonly answer: string | undefined
}

interface Named {
  readonly name: string
}

interface Described {
  readonly operationId: string
  readonly tags: readonly string[]
  /** Of paths that are about no kind there is none. */
  readonly 'x-kubernetes-action'?: string
  readonly 'x-kubernetes-group-version-kind': object
  readonly requestBody?: { readonly required?: boolean }
  readonly parameters?: readonly Named[]
  readonly responses: Readonly<Record<string, { content?: Record<string, { schema: { $ref: string } }> }>>
}

const methods = ['get', 'put', 'post', 'delete', 'patch'] as const
type Path = Partial<Record<(typeof methods)[number], Described>> & { readonly parameters?: readonly Named[] }

interface Paths<T> {
  readonly paths: Readonly<Record<string, T>>
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> }
}

interface Schema {
  readonly type?: string
  readonly required?: readonly string[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly items?: Schema
  readonly additionalProperties?: Schema | boolean
  readonly $ref?: string
  readonly allOf?: readonly Schema[]
  readonly 'x-kubernetes-group-version-kind'?: readonly { readonly kind: string }[]
}

async function read<T>(server: Server, path: string): Promise<Paths<T>> {
  const headers = { authorization: `Bearer ${server.token}` }
  return readJson((await server.send({ method: 'GET', path, headers })).text) as Paths<T>
}

/** Where the documents lie, by what they are about. */
export async function documentsOf(server: Server): Promise<ReadonlyMap<string, string>> {
  const { paths } = await read<{ serverRelativeURL: string }>(server, '/openapi/v3')
  return new Map(Object.entries(paths).map(([name, { serverRelativeURL }]) => [name, serverRelativeURL]))
}

/** The operations of a document by method and path. */
export async function operationsOf(server: Server, url: string): Promise<Map<string, Operation>> {
  const { paths } = await read<Path>(server, url)
  const found = new Map<string, Operation>()
  for (const [path, item] of Object.entries(paths)) {
    for (const method of methods) {
      const described = item[method]
      if (described) found.set(`${method} ${path}`, operationFrom(described, item.parameters ?? []))
    }
  }
  return found
}

/** The fields of what is asked and not kept, by kind: their types, and which of them there must be. */
export async function questionsOf(server: Server, url: string): Promise<Map<string, readonly string[]>> {
  const { schemas } = (await read(server, url)).components
  const resolved = (schema: Schema): Schema => {
    const [inner = schema] = schema.allOf ?? []
    return inner.$ref === undefined ? schema : schemas[inner.$ref.split('/').at(-1)!]!
  }
  function fields(schema: Schema, path: string): string[] {
    const { type, properties = {}, required = [], items, additionalProperties } = resolved(schema)
    return [
      `${path}: ${type}`,
      ...Object.entries(properties)
        .filter(([name]) => path !== '' || name !== 'metadata')
        .flatMap(([name, inner]) => fields(inner, `${path}.${name}${required.includes(name) ? '!' : ''}`)),
      ...(items ? fields(items, `${path}[]`) : []),
      ...(typeof additionalProperties === 'object' ? fields(additionalProperties, `${path}{}`) : []),
    ]
  }
  return new Map(
    Object.values(schemas).flatMap((schema) => {
      const [named] = schema['x-kubernetes-group-version-kind'] ?? []
      return /Review$|^TokenRequest$/.test(named?.kind ?? '')
        ? [[named!.kind, fields(schema, '').toSorted()] as const]
        : []
    }),
  )
}

function operationFrom(described: Described, common: readonly Named[]): Operation {
  const { operationId, tags, requestBody, parameters = [], responses } = described
  const action = described['x-kubernetes-action'] ?? ''
  const answer = (responses['201'] ?? responses['200'])?.content?.['application/json']?.schema.$ref
  return {
    id: operationId,
    tags,
    action,
    kind: described['x-kubernetes-group-version-kind'],
    parameters: [...common, ...parameters]
      .map(({ name }) => name)
      .filter((name) => ![...notCompared['all']!, ...(notCompared[action] ?? [])].includes(name))
      .toSorted(),
    needsBody: requestBody?.required === true,
    // Some kinds are said to answer with themselves; whether they do rests on their finalizers.
    answer: action.startsWith('delete') ? undefined : answer,
  }
}

/** Parameters that differ on purpose, by action. */
const notCompared: Readonly<Record<string, readonly string[]>> = {
  // Decide nothing here.
  all: ['pretty', 'shardSelector', 'ignoreStoreReadErrorWithClusterBreakingPotential'],
  // A get answers with the newest there is.
  get: ['resourceVersion'],
  // Theirs has those of any list, and for custom resources none of a deletion, though they count.
  deletecollection: [
    'allowWatchBookmarks',
    'sendInitialEvents',
    'timeoutSeconds',
    'watch',
    'dryRun',
    'gracePeriodSeconds',
    'orphanDependents',
    'propagationPolicy',
  ],
}
