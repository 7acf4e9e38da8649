import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { fieldErrorsOf } from '#model/resource'
import { readLines } from './lines.ts'
import { openResourceClient } from './resource-client.ts'

type Answer = Response | Error

/** A client whose requests are answered in order, with what was asked. */
function scripted(...answers: Answer[]) {
  const asked: { url: string; init: RequestInit }[] = []
  const warnings: string[] = []
  const client = openResourceClient({
    url: 'https://cp.example/',
    token: () => 'the-token',
    async fetch(url, init = {}) {
      asked.push({ url, init })
      const answer = answers.shift()
      if (answer instanceof Response) return answer
      throw answer ?? new Error('asked more than expected')
    },
    onWarning: (warning) => warnings.push(warning),
  })
  return { client, asked, warnings }
}

const status = (code: number, reason: string, details: object = {}) =>
  Response.json({ kind: 'Status', code, reason, message: `message of ${reason}`, details }, { status: code })

const object = {
  apiVersion: 'core.riptides.io/v1alpha1',
  kind: 'Service',
  metadata: { name: 'a' },
  spec: { labels: {} },
} as const

test('paths, tokens and bodies are those of Kubernetes', async () => {
  const { client, asked } = scripted(
    ...Array.from({ length: 6 }, () => Response.json({ ...object, items: [], metadata: {} })),
  )
  await client.get('Service', 'a')
  await client.list('WorkloadIdentity', { allNamespaces: true })
  await client.get('Secret', 'a', { namespace: 'n' })
  await client.create(object)
  await client.delete('Service', 'a', { dryRun: true })
  await client.rotateCredential('a')
  assert.deepEqual(
    asked.map(({ url, init }) => `${init.method} ${url}`),
    [
      'GET https://cp.example/apis/core.riptides.io/v1alpha1/namespaces/riptides-system/services/a',
      'GET https://cp.example/apis/core.riptides.io/v1alpha1/workloadidentitys',
      'GET https://cp.example/api/v1/namespaces/n/secrets/a',
      'POST https://cp.example/apis/core.riptides.io/v1alpha1/namespaces/riptides-system/services',
      'DELETE https://cp.example/apis/core.riptides.io/v1alpha1/namespaces/riptides-system/services/a?dryRun=All',
      'POST https://cp.example/apis/core.riptides.io/v1alpha1/namespaces/riptides-system/credentialbindings/a/rotate',
    ],
  )
  for (const { init } of asked) {
    assert.equal(new Headers(init.headers).get('authorization'), 'Bearer the-token')
  }
  assert.deepEqual(JSON.parse(asked[3]!.init.body as string), object)
})

test('each Status becomes the fault it stands for', async () => {
  const cases: readonly [Response, string][] = [
    [status(404, 'NotFound', { name: 'a' }), 'RESOURCE_NOT_FOUND'],
    [status(404, 'NotFound'), 'KIND_UNKNOWN'],
    [status(409, 'Conflict'), 'RESOURCE_CONFLICT'],
    [status(409, 'AlreadyExists'), 'RESOURCE_EXISTS'],
    [status(410, 'Expired'), 'STORE_REVISION_GONE'],
    [status(401, 'Unauthorized'), 'API_UNAUTHENTICATED'],
    [status(403, 'Forbidden'), 'API_FORBIDDEN'],
    [status(400, 'BadRequest'), 'RESOURCE_INVALID'],
    [status(503, 'ServiceUnavailable'), 'SERVER_UNREACHABLE'],
    [status(500, 'InternalError'), 'INTERNAL'],
    [new Response('<html>', { status: 502 }), 'SERVER_UNREACHABLE'],
    [new Response('<html>', { status: 200 }), 'SERVER_UNREACHABLE'],
  ]
  for (const [response, code] of cases) {
    await assert.rejects(scripted(response).client.get('Service', 'a'), { code })
  }
  await assert.rejects(scripted(new TypeError('fetch failed')).client.get('Service', 'a'), {
    code: 'SERVER_UNREACHABLE',
  })
  const causes = [{ reason: 'FieldValueRequired', field: 'spec.labels', message: 'Required value' }]
  await assert.rejects(scripted(status(422, 'Invalid', { causes })).client.create(object), (error) => {
    assert.deepEqual(fieldErrorsOf(error), causes)
    return true
  })
})

test('warnings are told as the server wrote them', async () => {
  const headers = { warning: '299 - "one, \\"quoted\\" and \\\\", 299 - "two"' }
  const { client, warnings } = scripted(Response.json(object, { headers }))
  await client.create(object)
  assert.deepEqual(warnings, ['one, "quoted" and \\', 'two'])
})

test('apply looks again when somebody else creates or deletes in between', async () => {
  const stored = { ...object, metadata: { name: 'a', uid: 'u', generation: 1 } }
  const { client, asked } = scripted(
    status(404, 'NotFound', { name: 'a' }),
    status(409, 'AlreadyExists', { name: 'a' }),
    Response.json(stored),
    status(404, 'NotFound', { name: 'a' }),
    status(404, 'NotFound', { name: 'a' }),
    Response.json(stored, { status: 201 }),
  )
  assert.equal((await client.apply(object)).verdict, 'created')
  assert.deepEqual(
    asked.map(({ init }) => init.method),
    ['GET', 'POST', 'GET', 'PUT', 'GET', 'POST'],
  )
})

test('a failure in the middle of a watch is thrown', async () => {
  const lines = [
    { type: 'ADDED', object },
    { type: 'ERROR', object: { kind: 'Status', reason: 'Expired', message: 'gone' } },
  ]
  const { client } = scripted(new Response(lines.map((line) => JSON.stringify(line)).join('\n')))
  const { signal } = new AbortController()
  const seen: string[] = []
  await assert.rejects(
    async () => {
      for await (const { type } of client.watch('Service', { signal })) seen.push(type)
    },
    { code: 'STORE_REVISION_GONE' },
  )
  assert.deepEqual(seen, ['ADDED'])
})

test('lines are the same however the bytes are cut', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.jsonValue()),
      fc.array(fc.nat(20), { minLength: 1 }),
      async (values, cuts) => {
        const bytes = new TextEncoder().encode(values.map((value) => `${JSON.stringify(value)}\n`).join(''))
        const chunks: Uint8Array[] = []
        for (let from = 0, turn = 0; from < bytes.length; turn++) {
          const size = 1 + cuts[turn % cuts.length]!
          chunks.push(bytes.slice(from, from + size))
          from += size
        }
        const parsed = await Array.fromAsync(readLines(ReadableStream.from(chunks)))
        assert.deepEqual(JSON.stringify(parsed), JSON.stringify(values))
      },
    ),
  )
})

test('an endless line is refused', async () => {
  const endless = ReadableStream.from(
    (function* () {
      for (;;) yield new Uint8Array(1024 * 1024).fill(97)
    })(),
  )
  await assert.rejects(Array.fromAsync(readLines(endless)), { code: 'WIRE_TOO_LARGE' })
})

/** Every module that `file` loads at run time, through relative and `#` imports. */
function modulesOf(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen
  seen.add(file)
  if (!file.startsWith('/')) return seen
  const source = readFileSync(file, 'utf8')
  for (const [, specifier] of source.matchAll(/^(?:import|export)\s(?!type\b)[^'"]*?from '([^']+)'/gm)) {
    if (specifier!.startsWith('.')) modulesOf(resolve(dirname(file), specifier!), seen)
    else if (specifier!.startsWith('#')) {
      modulesOf(join(import.meta.dirname, '../..', specifier!.slice(1), 'index.ts'), seen)
    } else seen.add(specifier!)
  }
  return seen
}

test('nothing of Node is imported, so that it runs in a browser', () => {
  const modules = [...modulesOf(join(import.meta.dirname, 'index.ts'))]
  assert.ok(modules.some((name) => name.endsWith('model/resource/validate.ts')))
  assert.deepEqual(
    modules.filter((name) => name.startsWith('node:')),
    [],
  )
})
