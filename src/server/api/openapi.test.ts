import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'
import { questions, tokenRequest } from '#server/access'
import { describedKinds, servedKinds } from './discovery.ts'
import { openapiV2Document } from './openapi-documents.ts'
import { encodeOpenapiV2 } from './openapi-protobuf.ts'
import type { Schema } from './openapi-schema.ts'
import { openTestServer, type TestServer } from './test-server.ts'

interface Operation {
  readonly operationId: string
  readonly tags: readonly string[]
  readonly parameters?: readonly { readonly name: string }[]
  readonly requestBody?: { readonly required?: boolean }
}

interface V3 {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> }
}

async function documentsOf(server: TestServer): Promise<V3[]> {
  const index = JSON.parse((await server.ask('GET', '/openapi/v3')).body)
  const urls = Object.values(index.paths).map(
    (path) => (path as { serverRelativeURL: string }).serverRelativeURL,
  )
  return Promise.all(urls.map(async (url) => JSON.parse((await server.ask('GET', url)).body)))
}

/** Calls `visit` with every node of a schema and its path. */
function walk(schema: Schema, path: string, visit: (schema: Schema, path: string) => void): void {
  visit(schema, path)
  const { properties = {}, items, additionalProperties } = schema
  for (const [name, inner] of Object.entries(properties)) walk(inner, `${path}.${name}`, visit)
  if (items) walk(items, `${path}[]`, visit)
  if (typeof additionalProperties === 'object') walk(additionalProperties, `${path}{}`, visit)
}

test('every field of every kind is described in a sentence', async () => {
  await using server = await openTestServer()
  const wanting: string[] = []
  for (const { components } of await documentsOf(server)) {
    for (const [name, schema] of Object.entries(components.schemas)) {
      walk(schema, name, ({ description = '', $ref }, path) => {
        if ($ref === undefined && !/^[\p{L}\d`].*\.$/su.test(description))
          wanting.push(`${path}: ${description}`)
      })
    }
  }
  assert.deepEqual(wanting, [])
})

test('every kind has a schema with its group, version and kind, and no reference leads nowhere', async () => {
  await using server = await openTestServer()
  const identified: string[] = []
  for (const { components, paths } of await documentsOf(server)) {
    for (const schema of Object.values(components.schemas)) {
      const named = schema['x-kubernetes-group-version-kind'] as
        | { group: string; version: string; kind: string }[]
        | undefined
      for (const { group, kind } of named ?? []) identified.push(`${kind}.${group}`)
    }
    for (const [, name] of JSON.stringify({ components, paths }).matchAll(
      /#\/components\/schemas\/([\w.]+)/g,
    )) {
      assert.ok(components.schemas[name!], name!)
    }
  }
  const kept = servedKinds.flatMap(({ kind, group }) => [`${kind}.${group}`, `${kind}List.${group}`])
  const asked = [...questions, tokenRequest].map(({ kind, group }) => `${kind}.${group}`)
  assert.deepEqual(identified.sort(), [...kept, ...asked].sort())
})

test('operations have names of their own', async () => {
  await using server = await openTestServer()
  const ids = (await documentsOf(server)).flatMap(({ paths }) =>
    Object.values(paths).flatMap((methods) => Object.values(methods).map(({ operationId }) => operationId)),
  )
  assert.deepEqual(
    ids.filter((id, index) => ids.indexOf(id) !== index),
    [],
  )
})

test('operations are named, grouped and shaped as generators of clients know it from Kubernetes', async () => {
  await using server = await openTestServer()
  const operations = (await documentsOf(server)).flatMap(({ paths }) =>
    Object.values(paths).flatMap((methods) => Object.values(methods)),
  )
  const told = new Map(
    operations.map(({ operationId, tags, requestBody, parameters = [] }) => [
      operationId,
      [tags.join(), requestBody?.required === true, parameters.map(({ name }) => name).join()],
    ]),
  )
  const writing = 'dryRun,fieldManager,fieldValidation'
  const deleting = 'dryRun,gracePeriodSeconds,orphanDependents,propagationPolicy'
  const listing = 'labelSelector,fieldSelector,limit,continue,resourceVersion,resourceVersionMatch'
  const watching = `${listing},watch,allowWatchBookmarks,sendInitialEvents,timeoutSeconds`
  const ours = 'coreRiptidesIo_v1alpha1'
  const expected = {
    createCoreV1NamespacedSecret: ['core_v1', true, `namespace,${writing}`],
    createAuthorizationV1SelfSubjectAccessReview: ['authorization_v1', true, writing],
    createAuthorizationV1NamespacedLocalSubjectAccessReview: [
      'authorization_v1',
      true,
      `namespace,${writing}`,
    ],
    createCoreV1NamespacedServiceAccountToken: ['core_v1', true, `namespace,name,${writing}`],
    readRbacAuthorizationV1ClusterRole: ['rbacAuthorization_v1', false, 'name'],
    listCoreRiptidesIoV1alpha1ServiceForAllNamespaces: [ours, false, watching],
    deleteCoreRiptidesIoV1alpha1NamespacedService: [ours, false, `namespace,name,${deleting}`],
    deleteCoreRiptidesIoV1alpha1CollectionNamespacedService: [
      ours,
      false,
      `namespace,${listing},${deleting}`,
    ],
    patchCoreRiptidesIoV1alpha1NamespacedServiceStatus: [ours, true, `namespace,name,${writing},force`],
  }
  for (const [id, facts] of Object.entries(expected)) assert.deepEqual(told.get(id), facts, id)
})

test('a document whose hash is in the URL may be kept for good', async () => {
  await using server = await openTestServer()
  const index = JSON.parse((await server.ask('GET', '/openapi/v3')).body)
  const { serverRelativeURL } = index.paths['apis/core.riptides.io/v1alpha1']
  const cacheControl = async (url: string) => String((await server.ask('GET', url)).headers['cache-control'])
  assert.match(await cacheControl(serverRelativeURL), /immutable/)
  assert.doesNotMatch(await cacheControl(serverRelativeURL.split('?')[0]), /immutable/)
})

test('OpenAPI v2 comes as JSON, and as the protobuf that older kubectl insists on', async () => {
  await using server = await openTestServer()
  const accept = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf'
  const encoded = await server.ask('GET', '/openapi/v2', { headers: { accept } })
  assert.match(
    encoded.headers['content-type'] as string,
    /^application\/com\.github\.proto-openapi\.spec\.v2\.v1\.0\+protobuf/,
  )
  const { swagger, definitions, security, securityDefinitions } = JSON.parse(
    (await server.ask('GET', '/openapi/v2')).body,
  )
  assert.equal(swagger, '2.0')
  assert.ok(definitions['io.riptides.core.v1alpha1.Service'] && definitions['io.k8s.api.rbac.v1.Role'])
  assert.ok(securityDefinitions[Object.keys(security[0])[0]!])
})

test('the protobuf holds the definitions of the JSON, by name and in order', () => {
  const document = openapiV2Document(describedKinds, '1') as { definitions: Record<string, Schema> }
  const names: string[] = []
  /** Reads the fields of a message that are messages or texts themselves. */
  function fields(bytes: Uint8Array): [field: number, content: Uint8Array][] {
    const reader = new BinaryReader(bytes)
    const found: [number, Uint8Array][] = []
    while (reader.pos < reader.len) {
      const [field, type] = reader.tag()
      if (type === WireType.LengthDelimited) found.push([field, reader.bytes()])
      else reader.skip(type)
    }
    return found
  }
  for (const [field, content] of fields(encodeOpenapiV2(document))) {
    if (field !== 9) continue
    for (const [, named] of fields(content)) names.push(Buffer.from(fields(named)[0]![1]).toString())
  }
  assert.deepEqual(names, Object.keys(document.definitions))
})

test('what the protobuf has no field for is a mistake of ours', () => {
  assert.throws(() => encodeOpenapiV2({ swagger: '2.0', host: 'x' }), TypeError)
})

test('kubectl is not told to merge strategically by schemas that do not say how', async () => {
  await using server = await openTestServer()
  const { body } = await server.ask('GET', '/openapi/v2')
  const v3 = JSON.stringify(await documentsOf(server))
  for (const text of [body, v3]) {
    assert.match(text, /application\/merge-patch\+json/)
    assert.doesNotMatch(text, /strategic/)
  }
})
