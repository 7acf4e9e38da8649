import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { isFault } from '#base/errors'
import { jsonPatch } from './json-patch.ts'
import { jsonPatchCases } from './test-json-patches.ts'

const patched = (document: object, ...operations: object[]) => jsonPatch(document, operations, 'it')

function refusal(document: object, ...operations: object[]): string {
  try {
    return `done: ${JSON.stringify(patched(document, ...operations))}`
  } catch (error) {
    assert.ok(isFault(error, 'RESOURCE_INVALID'), error as Error)
    return error.message
  }
}

test('patches do what the test suite of RFC 6902 says', () => {
  for (const [document, patch, expected] of jsonPatchCases) {
    const before = structuredClone({ document, patch })
    if (expected) assert.deepEqual(patched(document, ...patch), expected, JSON.stringify(patch))
    else assert.doesNotMatch(refusal(document, ...patch), /^done/)
    assert.deepEqual({ document, patch }, before)
  }
})

const service = () => ({
  kind: 'Service',
  metadata: { name: 'aws' },
  spec: { labels: { app: 'x' }, addresses: [{ address: 'a.b' }, { address: 'c.d' }], external: true },
})

test('what an object or a list inherits is not there, and nothing of it is changed', () => {
  const paths = [
    '/spec/labels/toString/call',
    '/spec/labels/hasOwnProperty/polluted',
    '/spec/labels/constructor/prototype/polluted',
    '/spec/addresses/map/polluted',
    '/metadata/name/0',
    '/metadata/name/length',
    '/spec/external/x',
    '/spec/addresses/map',
    '/spec/addresses/length',
    '/spec/addresses/00',
    '/spec/addresses/-1',
    '/spec/addresses/3',
    '/spec/addresses/99999999999999999999999',
  ]
  for (const path of paths) {
    for (const op of ['add', 'remove', 'replace', 'test']) {
      assert.match(refusal(service(), { op, path, value: 0 }), /there is no such path$/)
    }
    for (const op of ['copy', 'move']) {
      assert.match(refusal(service(), { op, from: path, path: '/spec/none' }), /there is no such path$/)
      assert.match(refusal(service(), { op, from: '/kind', path }), /there is no such path$/)
    }
  }
  for (const path of ['/spec/labels/toString', '/spec/addresses/-', '/spec/addresses/2']) {
    for (const op of ['remove', 'replace', 'test']) {
      assert.match(refusal(service(), { op, path, value: 0 }), /there is no such path$/)
    }
  }
  assert.ok(!('polluted' in patched) && typeof String(patched) === 'string')
})

test('a map holds what is called like something it would inherit, all but __proto__', () => {
  const names = ['toString', 'constructor', 'hasOwnProperty', 'length', '-', '0']
  for (const name of names) {
    const path = `/spec/labels/${name}`
    const added = patched(service(), { op: 'add', path, value: 'y' })
    assert.deepEqual(
      added,
      patched(service(), { op: 'copy', from: '/spec/labels/app', path }, { op: 'replace', path, value: 'y' }),
    )
    assert.deepEqual(
      patched(added as object, { op: 'test', path, value: 'y' }, { op: 'remove', path }),
      service(),
    )
  }
  for (const path of [
    '/__proto__',
    '/__proto__/a',
    '/spec/labels/__proto__',
    '/spec/__proto__/__proto__/a',
  ]) {
    for (const op of ['add', 'remove', 'replace', 'test']) {
      assert.match(refusal(service(), { op, path, value: {} }), /not an operation of RFC 6902/)
    }
    assert.match(refusal(service(), { op: 'move', from: '/spec', path }), /not an operation of RFC 6902/)
    assert.match(refusal(service(), { op: 'copy', from: path, path: '/a' }), /not an operation of RFC 6902/)
  }
})

test('nothing is moved into itself', () => {
  const document = { list: [{}, {}], map: {} }
  assert.match(refusal(document, { op: 'move', from: '/list/0', path: '/list/0/a' }), /cannot be done/)
  assert.match(refusal(document, { op: 'move', from: '/map', path: '/map/a' }), /cannot be done/)
  assert.match(refusal(document, { op: 'move', from: '', path: '/map/a' }), /cannot be done/)
})

test('a long value is compared as fast as a short one, and 0 is -0', () => {
  const numbers = (from: number) => Array.from({ length: 100_000 }, (_, index) => index + from)
  const document = { list: numbers(0), zero: 0 }
  assert.match(refusal(document, { op: 'test', path: '/list', value: numbers(1) }), /the value is another/)
  patched(
    document,
    { op: 'test', path: '/list', value: numbers(0) },
    { op: 'test', path: '/zero', value: -0 },
  )
})

test('neither long lists nor deep maps make a patch cost more than it says', () => {
  const items = { list: Array.from({ length: 10_000 }, () => 0) }
  patched(items, { op: 'remove', path: '/list/0' }, { op: 'add', path: '/list/0', value: 1 })
  assert.match(refusal(items, { op: 'add', path: '/list/0', value: 1 }), /the list is too long/)
  const wrapped = (count: number) =>
    Array.from({ length: count }, () => [
      { op: 'add', path: '/next', value: {} },
      { op: 'move', from: '/deep', path: '/next/a' },
      { op: 'move', from: '/next', path: '/deep' },
    ]).flat()
  patched({ deep: {} }, ...wrapped(60))
  assert.match(refusal({ deep: {} }, ...wrapped(3_000)), /nested more than 64 levels deep$/)
  const copied = [...wrapped(3_000), { op: 'copy', from: '/deep', path: '/copy' }]
  assert.match(refusal({ deep: {} }, ...copied), /copies too much$/)
})

const keys = fc.string().filter((key) => key !== '__proto__')
const token = (key: string) => key.replaceAll('~', '~0').replaceAll('/', '~1')
const values = fc
  .jsonValue({ noUnicodeString: false })
  .filter((value) => !JSON.stringify(value).includes('__proto__'))

test('what is added can be tested, copied, moved and removed again, whatever it is called', () => {
  const maps = fc.dictionary(keys, values)
  fc.assert(
    fc.property(maps, keys, keys, values, (map, key, other, value) => {
      fc.pre(key !== other && !Object.hasOwn(map, key) && !Object.hasOwn(map, other))
      const [path, to] = [`/map/${token(key)}`, `/map/${token(other)}`]
      const added = patched({ map }, { op: 'add', path, value }, { op: 'test', path, value }) as {
        map: object
      }
      assert.deepEqual(new Map(Object.entries(added.map)), new Map([...Object.entries(map), [key, value]]))
      const back = [
        { op: 'copy', from: path, path: to },
        { op: 'remove', path },
        { op: 'move', from: to, path },
        { op: 'test', path, value },
        { op: 'remove', path },
      ]
      assert.equal(JSON.stringify(patched(added, ...back)), JSON.stringify({ map }))
    }),
  )
  fc.assert(
    fc.property(fc.array(values), fc.nat(), values, (list, at, value) => {
      const path = `/list/${at % (list.length + 1)}`
      const added = patched({ list }, { op: 'add', path, value })
      assert.deepEqual(added, { list: list.toSpliced(at % (list.length + 1), 0, value) })
      assert.deepEqual(patched(added as object, { op: 'test', path, value }, { op: 'remove', path }), {
        list,
      })
    }),
  )
})
