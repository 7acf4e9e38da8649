import type { Question } from '#server/access'
import { hasStatus, questionsOf } from './discovery.ts'
import type { ServedKind } from './events-view.ts'
import { deleteOptionsName, patchName, statusName } from './openapi-meta.ts'
import { schemaName, type Named } from './openapi-schema.ts'

export type Method = 'get' | 'put' | 'post' | 'delete' | 'patch'

export interface Parameter {
  readonly name: string
  readonly in: 'path' | 'query'
  readonly type: 'string' | 'boolean' | 'integer'
  readonly description: string
}

/** One operation of the API, before it is said in the words of OpenAPI v2 or v3. */
export interface Operation {
  readonly path: string
  readonly method: Method
  readonly id: string
  readonly description: string
  /** Kubernetes' word for it. */
  readonly action: string
  /** The kind of what is sent or answered. */
  readonly about: Named
  readonly parameters: readonly Parameter[]
  /** Names of the schemas of what is sent and of the answer. */
  readonly body?: string
  readonly answer: string
  readonly status: 200 | 201
}

const query = (name: string, type: Parameter['type'], description: string): Parameter => ({
  name,
  in: 'query',
  type,
  description,
})
const inPath = (name: string, description: string): Parameter => ({
  name,
  in: 'path',
  type: 'string',
  description,
})

const listing = [
  query('labelSelector', 'string', 'Restricts to objects whose labels match, such as app=x,tier in (a,b).'),
  query('fieldSelector', 'string', 'Restricts to objects whose fields match, such as metadata.name=x.'),
  query('limit', 'integer', 'At most so many objects; what follows comes by continue.'),
  query('continue', 'string', 'Goes on where an earlier answer ended: its metadata.continue.'),
  query('resourceVersion', 'string', 'The version to list at or to watch from.'),
  query('resourceVersionMatch', 'string', 'Exact or NotOlderThan: what resourceVersion means for a list.'),
]
const watching = [
  ...listing,
  query('watch', 'boolean', 'Answers with changes as they happen, one JSON object for each.'),
  query('allowWatchBookmarks', 'boolean', 'A watch also tells how far it has come when nothing changes.'),
  query('sendInitialEvents', 'boolean', 'A watch begins with what there is, and says when that is complete.'),
  query('timeoutSeconds', 'integer', 'How long a watch lasts.'),
]
const writing = [
  query('dryRun', 'string', 'All: everything but the write itself.'),
  query('fieldManager', 'string', 'Who is recorded as owner of the fields that are written.'),
  query(
    'fieldValidation',
    'string',
    'What becomes of fields that are unknown or there twice: Strict (the default) refuses, Warn, Ignore.',
  ),
]
const deleting = [
  query('dryRun', 'string', 'All: everything but the deletion itself.'),
  query('gracePeriodSeconds', 'integer', 'Accepted; objects have no grace period.'),
  query('orphanDependents', 'boolean', 'The older way to say Orphan; not beside propagationPolicy.'),
  query(
    'propagationPolicy',
    'string',
    'What becomes of objects that it owns: Background, Foreground, Orphan.',
  ),
]

const applying = [...writing, query('force', 'boolean', 'An apply takes over fields that others own.')]

/** A group in Kubernetes' names of operations and of the classes that generators make: its own go without a domain. */
export function camelGroup(group: string): string {
  const words = (group || 'core').replace(/\.k8s\.io$/, '').split(/[^A-Za-z0-9]+/)
  return words.map(capitalized).join('')
}

const capitalized = (word: string) => word.charAt(0).toUpperCase() + word.slice(1)

/** What can be done with the objects of a kind, or the asking of a question. */
export function operationsOf(definition: ServedKind | Question): readonly Operation[] {
  const { group, version, plural, kind, scope } = definition
  const base = group === '' ? `/api/${version}` : `/apis/${group}/${version}`
  const namespaced = scope === 'Namespaced'
  const all = `${base}/${plural}`
  const collection = namespaced ? `${base}/namespaces/{namespace}/${plural}` : all
  const place = namespaced ? [inPath('namespace', 'Namespace of the objects.')] : []
  const named = [...place, inPath('name', `Name of the ${kind}.`)]
  const api = `${camelGroup(group)}${capitalized(version)}`
  const subject = `${namespaced ? 'Namespaced' : ''}${kind}`
  const object = schemaName(definition)

  const operation = (
    verb: string,
    method: Method,
    path: string,
    description: string,
    rest: Partial<Operation> & Pick<Operation, 'parameters'>,
  ): Operation => ({
    path,
    method,
    id: `${verb}${api}${subject}`,
    description,
    action: verb,
    about: definition,
    answer: object,
    status: 200,
    ...rest,
  })

  const creation = (kind: string, path: string, rest: Pick<Operation, 'parameters'> & Partial<Operation>) =>
    operation('create', 'post', path, `Create a ${kind}.`, {
      action: 'post',
      body: object,
      status: 201,
      ...rest,
    })
  const creating = creation(kind, collection, { parameters: [...place, ...writing] })
  if ('isAsked' in definition) return [creating]

  const list = { answer: `${object}List`, action: 'list' }
  const everywhere = operation('list', 'get', all, `List or watch ${kind} objects of all namespaces.`, {
    ...list,
    id: `list${api}${kind}ForAllNamespaces`,
    parameters: watching,
  })
  const status = `${collection}/{name}/status`
  const part = (verb: string) => ({ id: `${verb}${api}${subject}Status`, action: verb })
  const reading = [
    ...(namespaced ? [everywhere] : []),
    operation('list', 'get', collection, `List or watch ${kind} objects.`, {
      ...list,
      parameters: [...place, ...watching],
    }),
    operation('read', 'get', `${collection}/{name}`, `Read a ${kind}.`, { action: 'get', parameters: named }),
  ]
  if (definition.present) return reading
  return [
    ...reading,
    creating,
    operation('delete', 'delete', collection, `Delete the ${kind} objects that are selected.`, {
      id: `delete${api}Collection${subject}`,
      action: 'deletecollection',
      body: deleteOptionsName,
      answer: statusName,
      parameters: [...place, ...listing, ...deleting],
    }),
    operation('replace', 'put', `${collection}/{name}`, `Replace a ${kind}, but for its status.`, {
      action: 'put',
      body: object,
      parameters: [...named, ...writing],
    }),
    operation('patch', 'patch', `${collection}/{name}`, `Change parts of a ${kind}.`, {
      body: patchName,
      parameters: [...named, ...applying],
    }),
    operation('delete', 'delete', `${collection}/{name}`, `Delete a ${kind}.`, {
      body: deleteOptionsName,
      answer: statusName,
      parameters: [...named, ...deleting],
    }),
    ...(hasStatus(definition)
      ? [
          operation('get', 'get', status, `Read the status of a ${kind}.`, {
            ...part('read'),
            action: 'get',
            parameters: named,
          }),
          operation('put', 'put', status, `Replace the status of a ${kind}.`, {
            ...part('replace'),
            action: 'put',
            body: object,
            parameters: [...named, ...writing],
          }),
          operation('patch', 'patch', status, `Change parts of the status of a ${kind}.`, {
            ...part('patch'),
            body: patchName,
            parameters: [...named, ...applying],
          }),
        ]
      : []),
    ...questionsOf(definition).map(([name, question]) =>
      creation(question.kind, `${collection}/{name}/${name}`, {
        id: `create${api}${subject}${capitalized(name)}`,
        about: question,
        body: schemaName(question),
        answer: schemaName(question),
        parameters: [...named, ...writing],
      }),
    ),
  ]
}
