import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseAllDocuments } from 'yaml'
import { unsupportedFields, type ResourceDraft } from '#model/resource'
import { openTestServer } from './test-server.ts'

const root = join(import.meta.dirname, '../../..')

function documents(file: string): ResourceDraft[] {
  const parsed = parseAllDocuments(readFileSync(join(root, file), 'utf8'))
  return (Array.isArray(parsed) ? parsed : []).map((document) => document.toJS() as ResourceDraft)
}

// The settings of the programs lie beside the resources.
const files = globSync(['test/guides/*.yaml', 'examples/**/*.yaml'], { cwd: root })
  .filter((file) => !/\/(server|daemon)\.yaml$/.test(file))
  .sort()

test('the guides and examples are found', () => {
  assert.ok(files.length >= 10)
})

for (const file of files) {
  test(`${file} applies unchanged, in any order, and applying it again changes nothing`, async () => {
    await using server = await openTestServer()
    const objects = documents(file)
    for (const object of objects.toReversed()) {
      assert.equal((await server.client.apply(object)).verdict, 'created')
    }
    for (const object of objects) assert.equal((await server.client.apply(object)).verdict, 'unchanged')
  })
}

test('what a guide asks for beyond what we act on is told, and nothing else', () => {
  const unsupported = new Set(
    documents('test/guides/secretless-aws.yaml').flatMap((object) => unsupportedFields(object)),
  )
  assert.deepEqual(
    [...unsupported],
    ['spec.selectors[0][k8s:label:app]', 'spec.selectors[0][k8s:pod:namespace]'],
  )
  const example = globSync('examples/aws-bedrock/*.yaml', { cwd: root }).flatMap(documents)
  assert.equal(example.length, 5)
  assert.deepEqual(
    example.flatMap((object) => unsupportedFields(object)),
    [],
  )
})
