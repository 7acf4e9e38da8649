import type { FastifyInstance } from 'fastify'
import { kinds, type KindDefinition } from '#model/resource'
import { failure } from './status.ts'

const verbs = ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch']

function apiResourceList(groupVersion: string, definitions: readonly KindDefinition[]) {
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion,
    resources: definitions.flatMap(({ plural, singular, kind, shortNames, schema }) => [
      { name: plural, singularName: singular, namespaced: true, kind, verbs, shortNames },
      ...('status' in (schema as { properties: object }).properties
        ? [{ name: `${plural}/status`, singularName: '', namespaced: true, kind, verbs: ['get', 'update'] }]
        : []),
    ]),
  }
}

function apiGroup(name: string, version: string) {
  const groupVersion = { groupVersion: `${name}/${version}`, version }
  return {
    kind: 'APIGroup',
    apiVersion: 'v1',
    name,
    versions: [groupVersion],
    preferredVersion: groupVersion,
  }
}

/** The documents by which Kubernetes clients learn which kinds there are. */
export function discoveryRoutes(app: FastifyInstance, { version }: { version: string }): void {
  const groups = [...new Set(kinds.map(({ group }) => group))].filter((group) => group !== '')
  const inGroup = (group: string) => kinds.filter((definition) => definition.group === group)

  app.get('/version', () => {
    const [major = '0', minor = '0'] = version.split('.')
    return { major, minor, gitVersion: `v${version}`, platform: 'linux' }
  })
  app.get('/api', () => ({ kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] }))
  app.get('/api/v1', () => apiResourceList('v1', inGroup('')))
  app.get('/apis', () => ({
    kind: 'APIGroupList',
    apiVersion: 'v1',
    groups: groups.map((group) => apiGroup(group, inGroup(group)[0]!.version)),
  }))
  app.get<{ Params: { group: string } }>('/apis/:group', ({ params }, reply) => {
    if (!groups.includes(params.group)) return reply.code(404).send(failure(404, 'NotFound', 'no such group'))
    return apiGroup(params.group, inGroup(params.group)[0]!.version)
  })
  app.get<{ Params: { group: string; version: string } }>('/apis/:group/:version', ({ params }, reply) => {
    const definitions = inGroup(params.group).filter(({ version }) => version === params.version)
    if (params.group === '' || definitions.length === 0) {
      return reply.code(404).send(failure(404, 'NotFound', 'no such group and version'))
    }
    return apiResourceList(`${params.group}/${params.version}`, definitions)
  })
}
