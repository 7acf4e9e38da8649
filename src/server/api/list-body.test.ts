import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import { definitionOf, type Resource } from '#model/resource'
import { encodedAtOnce, listBody } from './list-body.ts'
import { service } from './test-objects.ts'
import { representationFor } from './table.ts'

const definition = definitionOf('Service')
const metadata = { resourceVersion: '7', remainingItemCount: 2 }

function objectNamed(name: string): Resource {
  const place = { name, namespace: 'riptides-system', uid: name, generation: 1, resourceVersion: '1' }
  return { ...service(), metadata: { ...place, creationTimestamp: '2026-01-01T00:00:00Z' } } as Resource
}

for (const as of ['', 'as=Table;v=v1;g=meta.k8s.io', 'as=PartialObjectMetadataList;v=v1;g=meta.k8s.io']) {
  test(`a list in parts has the bytes of the whole, however many there are: ${as || 'whole objects'}`, async () => {
    const accept = as === '' ? 'application/json' : `application/json;${as}`
    const form = representationFor(accept, definition, { query: {}, clock: openTestClock() })
    for (const count of [0, 1, encodedAtOnce, encodedAtOnce + 1, 3 * encodedAtOnce - 1]) {
      const objects = Array.from({ length: count }, (_, index) => objectNamed(`s${index}`))
      const items = objects.map((object) => form.item(object))
      const parts = await Array.fromAsync(listBody(form, objects, metadata))
      assert.equal(parts.join(''), JSON.stringify(form.list(items, metadata)))
      assert.ok(parts.length <= 1 + count / encodedAtOnce && parts.length >= count / encodedAtOnce)
    }
  })
}
