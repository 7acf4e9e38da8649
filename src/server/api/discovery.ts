import type { FastifyInstance } from 'fastify'
import { Fault } from '#base/errors'
import { kinds, type KindDefinition } from '#model/resource'
import { questions, tokenRequest, type Question } from '#server/access'
import { documentOf, sendDocument, type Document } from './document.ts'
import { eventsView, type ServedKind } from './events-view.ts'
import { negotiate } from './negotiation.ts'

/**
 * The release of Kubernetes whose API this one is like: the first that has all that is served here (aggregated
 * discovery v2, OpenAPI v3, field validation, streaming lists). Clients choose features by it; with its own
 * version as build metadata, as other distributions have it.
 */
const emulated = { major: '1', minor: '32' }

const verbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch']
const readingVerbs = ['get', 'list', 'watch']
const statusVerbs = ['get', 'patch', 'update']
const askingVerbs = ['create']

/** Whether the objects of a kind have a status, with a path of its own. */
export function hasStatus({ schema }: Pick<KindDefinition, 'schema'>): boolean {
  return 'status' in (schema as { properties: object }).properties
}

/** For the path of a status. @throws Fault KIND_UNKNOWN where there is none */
export function expectStatus(definition: Pick<KindDefinition, 'kind' | 'schema'>): void {
  if (!hasStatus(definition)) throw new Fault('KIND_UNKNOWN', `${definition.kind} has no status`)
}

/** The groups of some kinds with those, the nameless group first. Every group has one version. */
export function groupsOf<T extends Pick<KindDefinition, 'group' | 'version'>>(
  definitions: readonly T[],
): readonly { name: string; version: string; kinds: readonly T[] }[] {
  return [...Map.groupBy(definitions, ({ group }) => group)]
    .map(([name, kinds]) => ({ name, version: kinds[0]!.version, kinds }))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** All that there are objects of, in each of its forms. */
export const servedKinds: readonly ServedKind[] = [...kinds, eventsView]

/** Those, and what is answered and not kept. */
export const describedKinds: readonly (ServedKind | Question)[] = [...servedKinds, ...questions]

/** What clients learn of a kind. */
interface Discovered extends Pick<
  KindDefinition,
  'group' | 'version' | 'kind' | 'plural' | 'singular' | 'scope' | 'shortNames'
> {
  readonly categories: readonly string[]
  readonly verbs: readonly string[]
  /** What there is of its objects besides. */
  readonly subresources: readonly {
    readonly name: string
    readonly of: Pick<KindDefinition, 'group' | 'version' | 'kind'>
    readonly verbs: readonly string[]
  }[]
}

/** What may be asked of the objects of a kind, by the path below theirs. */
export function questionsOf({
  kind,
}: Pick<KindDefinition, 'kind'>): readonly (readonly [string, Question])[] {
  return kind === 'ServiceAccount' ? [['token', tokenRequest]] : []
}

const keptKinds = servedKinds.map((definition): Discovered => ({
  ...definition,
  // Other spellings of the plural too: clients take any of these for the kind.
  shortNames: [...definition.shortNames, ...definition.aliases],
  categories: definition.categories ?? [],
  verbs: definition.present ? readingVerbs : verbs,
  subresources: [
    ...(hasStatus(definition) ? [{ name: 'status', of: definition, verbs: statusVerbs }] : []),
    ...questionsOf(definition).map(([name, of]) => ({ name, of, verbs: askingVerbs })),
  ],
}))

const askedKinds = questions.map((question): Discovered => ({
  ...question,
  shortNames: [],
  categories: [],
  verbs: askingVerbs,
  subresources: [],
}))

type Group = ReturnType<typeof groupsOf<Discovered>>[number]

const groupVersion = ({ name, version }: Group) => (name === '' ? version : `${name}/${version}`)

function apiResourceList(group: Group) {
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: groupVersion(group),
    resources: group.kinds.flatMap(
      ({ plural, singular, kind, scope, shortNames, categories, verbs, subresources }) => {
        const namespaced = scope === 'Namespaced'
        return [
          { name: plural, singularName: singular, namespaced, kind, verbs, shortNames, categories },
          ...subresources.map(({ name, of, verbs }) => ({
            name: `${plural}/${name}`,
            singularName: '',
            namespaced,
            ...(of.group !== group.name && { group: of.group, version: of.version }),
            kind: of.kind,
            verbs,
          })),
        ]
      },
    ),
  }
}

function apiGroup(group: Group) {
  const version = { groupVersion: groupVersion(group), version: group.version }
  return {
    kind: 'APIGroup',
    apiVersion: 'v1',
    name: group.name,
    versions: [version],
    preferredVersion: version,
  }
}

/** All kinds of some groups at once: Kubernetes' aggregated discovery. */
function aggregated(apiVersion: string, groups: readonly Group[]) {
  return {
    kind: 'APIGroupDiscoveryList',
    apiVersion: `apidiscovery.k8s.io/${apiVersion}`,
    metadata: {},
    items: groups.map(({ name, version, kinds }) => ({
      metadata: name === '' ? {} : { name },
      versions: [{ version, freshness: 'Current', resources: kinds.map(aggregatedKind) }],
    })),
  }
}

function aggregatedKind({ group, version, kind, plural, singular, scope, ...rest }: Discovered) {
  const { shortNames, categories, verbs, subresources } = rest
  const responseKind = { group, version, kind }
  return {
    resource: plural,
    responseKind,
    scope,
    singularResource: singular,
    verbs,
    ...(shortNames.length > 0 && { shortNames }),
    ...(categories.length > 0 && { categories }),
    ...(subresources.length > 0 && {
      subresources: subresources.map(({ name, of, verbs }) => ({
        subresource: name,
        responseKind: { group: of.group, version: of.version, kind: of.kind },
        verbs,
      })),
    }),
  }
}

/** The forms of the list of some groups: as it was before, and aggregated. */
function formsOf(plain: object, groups: readonly Group[]): ReadonlyMap<string, Document> {
  const form = (type: string, content: object) => [type, documentOf(type, content)] as const
  const aggregate = (version: string) =>
    form(
      `application/json;as=APIGroupDiscoveryList;g=apidiscovery.k8s.io;v=${version}`,
      aggregated(version, groups),
    )
  return new Map([form('application/json', plain), aggregate('v2'), aggregate('v2beta1')])
}

/** The documents by which Kubernetes clients learn which kinds there are. */
export function discoveryRoutes(app: FastifyInstance, { version }: { version: string }): void {
  const groups = groupsOf([...keptKinds, ...askedKinds])
  const named = groups.filter(({ name }) => name !== '')
  const core = groups.filter(({ name }) => name === '')

  // Kubernetes' own OpenAPI has these paths with a slash, and clients that are made from it, as that in Python is.
  const bothWays = (path: string) => [path, `${path}/`]
  function serve(path: string, forms: ReadonlyMap<string, Document>): void {
    for (const url of bothWays(path))
      app.get(url, (request, reply) => sendDocument(request, reply, negotiate(request.headers.accept, forms)))
  }
  const json = (content: object) => new Map([['application/json', documentOf('application/json', content)]])

  const release = {
    ...emulated,
    gitVersion: `v${emulated.major}.${emulated.minor}.0+tideway-${version}`,
    gitCommit: '',
    gitTreeState: '',
    buildDate: '1970-01-01T00:00:00Z',
    goVersion: '',
    compiler: `node ${process.version}`,
    platform: `${process.platform}/${process.arch}`,
  }
  for (const url of bothWays('/version')) app.get(url, () => release)
  serve(
    '/api',
    formsOf(
      { kind: 'APIVersions', apiVersion: 'v1', versions: ['v1'], serverAddressByClientCIDRs: [] },
      core,
    ),
  )
  serve('/apis', formsOf({ kind: 'APIGroupList', apiVersion: 'v1', groups: named.map(apiGroup) }, named))
  for (const group of core) serve('/api/v1', json(apiResourceList(group)))
  for (const group of named) {
    serve(`/apis/${group.name}`, json(apiGroup(group)))
    serve(`/apis/${groupVersion(group)}`, json(apiResourceList(group)))
  }
}
