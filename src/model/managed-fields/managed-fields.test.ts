import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { conflictTexts } from './conflict-text.ts'
import { decodeManagers, encodeManagers } from './entries.ts'
import { decodeFields, encodeFields, sameFields, union, type FieldSet } from './field-set.ts'
import { structureOf } from './structure.ts'
import { compare, fieldsIn, merge } from './typed-value.ts'
import { applied, updated, type Manager } from './updater.ts'

// The cases are those of kubernetes-sigs/structured-merge-diff, named by file and case.
const at = '2026-01-01T00:00:00Z'
const scalar = { type: 'string' }
const number = { type: 'number' }
const map = { type: 'object', patternProperties: { '^.*$': scalar } }
const listOf = (value: object) => ({
  type: 'array',
  'x-kubernetes-list-type': 'map',
  'x-kubernetes-list-map-keys': ['name'],
  items: { type: 'object', properties: { name: scalar, value }, required: ['name'] },
})
const structure = structureOf({
  type: 'object',
  properties: {
    list: listOf(number),
    setStr: { type: 'array', 'x-kubernetes-list-type': 'set', items: scalar },
    atomicList: { type: 'array', items: scalar },
    atomicMap: { ...map, 'x-kubernetes-map-type': 'atomic' },
    map,
    listOfMaps: listOf(map),
    mapOfMaps: { type: 'object', patternProperties: { '^.*$': map } },
    struct: { type: 'object', properties: { name: scalar, value: number } },
    name: scalar,
    metadata: { type: 'object', properties: { name: scalar, labels: map } },
  },
})

const fields = (json: object): FieldSet => decodeFields(json)!

interface State {
  readonly object: unknown
  readonly managers: readonly Manager[]
}

const empty: State = { object: {}, managers: [] }

/** Applies, and expects no conflict. */
function apply({ object, managers }: State, by: string, config: object, force = false): State {
  const result = applied(managers, { live: object, config, by, at, force }, structure)
  assert.ok(result.ok, `${by} has a conflict`)
  return result
}

function update({ object, managers }: State, name: string, after: object): State {
  const by = { name, operation: 'Update' as const }
  return { object: after, managers: updated(managers, { before: object, after, by, at }, structure) }
}

const owned = ({ managers }: State) =>
  Object.fromEntries(managers.map((manager) => [manager.name, encodeFields(manager.fields)]))

const item = (name: string, ...more: string[]) => ({
  [`k:{"name":"${name}"}`]: Object.fromEntries([
    ['.', {}],
    ...['name', ...more].map((key) => [`f:${key}`, {}]),
  ]),
})

test('multiple_appliers_test.go remove_one: an item that its only applier leaves out goes', () => {
  let state = apply(empty, 'apply-one', { list: [{ name: 'a' }, { name: 'b' }] })
  state = apply(state, 'apply-two', { list: [{ name: 'c' }] })
  state = apply(state, 'apply-one', { list: [{ name: 'a' }] })
  assert.deepEqual(state.object, { list: [{ name: 'a' }, { name: 'c' }] })
  assert.deepEqual(owned(state), {
    'apply-one': { 'f:list': item('a') },
    'apply-two': { 'f:list': item('c') },
  })
})

test('multiple_appliers_test.go remove_one_keep_one: what another applier owns as well stays', () => {
  let state = apply(empty, 'apply-one', { list: [{ name: 'a' }, { name: 'b' }, { name: 'c' }] })
  state = apply(state, 'apply-two', { list: [{ name: 'c' }, { name: 'd' }] })
  state = apply(state, 'apply-one', { list: [{ name: 'a' }] })
  assert.deepEqual(state.object, { list: [{ name: 'a' }, { name: 'c' }, { name: 'd' }] })
  assert.deepEqual(owned(state)['apply-two'], { 'f:list': { ...item('c'), ...item('d') } })
})

test('multiple_appliers_test.go same_value_no_conflict: both own what both say', () => {
  const config = { list: [{ name: 'a', value: 0 }] }
  const state = apply(apply(empty, 'apply-one', config), 'apply-two', config)
  assert.deepEqual(owned(state), {
    'apply-one': { 'f:list': item('a', 'value') },
    'apply-two': { 'f:list': item('a', 'value') },
  })
})

test('multiple_appliers_test.go change_value_yes_conflict: another value is a conflict, and force takes it', () => {
  const state = apply(empty, 'apply-one', { list: [{ name: 'a', value: 0 }] })
  const live = state.object
  const config = { list: [{ name: 'a', value: 1 }] }
  const refused = applied(state.managers, { live, config, by: 'apply-two', at, force: false }, structure)
  assert.ok(!refused.ok)
  assert.deepEqual(
    refused.conflicts.map(({ manager, path }) => [manager.name, path]),
    [['apply-one', '.list[name="a"].value']],
  )
  const forced = apply(state, 'apply-two', config, true)
  assert.deepEqual(forced.object, config)
  assert.deepEqual(owned(forced), {
    'apply-one': { 'f:list': item('a') },
    'apply-two': { 'f:list': item('a', 'value') },
  })
})

test('nested_test.go: an emptied map, struct and list of maps lose what was applied', () => {
  let state = apply(empty, 'default', {
    mapOfMaps: { a: { b: 'x', c: 'y' } },
    struct: { name: 'a', value: 1 },
  })
  state = apply(state, 'default', { mapOfMaps: { a: { b: 'x' } }, struct: { name: 'a' } })
  assert.deepEqual(state.object, { mapOfMaps: { a: { b: 'x' } }, struct: { name: 'a' } })
  state = apply(state, 'default', { name: 'n' })
  assert.deepEqual(state.object, { name: 'n' })
  assert.deepEqual(owned(state), { default: { 'f:name': {} } })
})

test('set_test.go: a map key and a set item that an updater set stay when an applier leaves its own out', () => {
  let state = apply(empty, 'applier', { map: { a: '1' }, setStr: ['a', 'b'] })
  state = update(state, 'controller', { map: { a: '1', c: '2' }, setStr: ['a', 'b', 'c'] })
  assert.deepEqual(owned(state)['controller'], { 'f:map': { 'f:c': {} }, 'f:setStr': { 'v:"c"': {} } })
  state = apply(state, 'applier', { setStr: ['a'] })
  assert.deepEqual(state.object, { map: { c: '2' }, setStr: ['a', 'c'] })
})

test('leaf_test.go: an updater takes what it changes, and who applies it again has a conflict', () => {
  let state = apply(empty, 'default', { name: 'a', atomicList: ['x'] })
  state = update(state, 'controller', { name: 'b', atomicList: ['x', 'y'] })
  assert.deepEqual(owned(state), { controller: { 'f:atomicList': {}, 'f:name': {} } })
  const result = applied(
    state.managers,
    { live: state.object, config: { name: 'a' }, by: 'default', at, force: false },
    structure,
  )
  assert.ok(!result.ok)
  // What nobody applied last time is not removed by not being applied.
  assert.deepEqual(apply(state, 'default', { name: 'b' }).object, { name: 'b', atomicList: ['x', 'y'] })
})

test('what the server sets belongs to nobody', () => {
  const after = {
    apiVersion: 'v1',
    kind: 'K',
    metadata: { name: 'a', uid: 'u', labels: { l: '1' } },
    name: 'x',
  }
  const state = update(empty, 'm', after)
  assert.deepEqual(owned(state), {
    m: { 'f:metadata': { 'f:labels': { '.': {}, 'f:l': {} } }, 'f:name': {} },
  })
})

// Without the time that is told there: no API server knows it where it tells of conflicts (buildmanagerinfo.go).
test('conflict_test.go TestNewFromSets: conflicts are told by manager', () => {
  const manager = (name: string, operation: 'Apply' | 'Update'): Manager => ({
    name,
    operation,
    fields: fields({}),
    time: at,
  })
  const [bob, alice] = [manager('Bob', 'Apply'), manager('Alice', 'Update')]
  const conflicts = [
    { manager: bob, path: '.key' },
    { manager: bob, path: '.list[id=2,key="a"].id' },
    { manager: alice, path: '.value' },
  ]
  const { message, causes } = conflictTexts(conflicts, 'v1')
  assert.equal(
    message,
    `Apply failed with 3 conflicts: conflicts with "Alice" using v1:
- .value
conflicts with "Bob":
- .key
- .list[id=2,key="a"].id`,
  )
  assert.deepEqual(causes[0], { field: '.key', message: 'conflict with "Bob"' })
  assert.equal(
    conflictTexts(conflicts.slice(2), 'v1').message,
    `Apply failed with 1 conflict: conflict with "Alice" using v1: .value`,
  )
})

test('merge_test.go associative set: items keep their order', () => {
  const cases: readonly [string, string, string][] = [
    ['', 'abc', 'abc'],
    ['ab', 'ba', 'ba'],
    ['abc', 'def', 'abcdef'],
    ['abc', 'cdef', 'abcdef'],
    ['abcgf', 'cdef', 'abcgdef'],
    ['abc', 'defxyz', 'abcdefxyz'],
    ['cdef', 'ace', 'acdef'],
    ['abcxyz', 'def', 'abcxyzdef'],
    ['abcxyz', 'defxyz', 'abcdefxyz'],
    ['cagf', 'cfag', 'cfag'],
    ['abcd', 'defa', 'bcdefa'],
    ['cdefghij', '2h3e4kl', 'cdfg2hij3e4kl'],
    ['abcdefghij', '1b2h3e4kl', 'a1bcdfg2hij3e4kl'],
  ]
  for (const [live, config, merged] of cases) {
    assert.deepEqual(merge({ setStr: live.split('') }, { setStr: config.split('') }, structure), {
      setStr: merged.split(''),
    })
  }
})

test('toset_test.go: what a value sets', () => {
  const cases: readonly [object, object][] = [
    [{ struct: { name: 'a', value: 1 } }, { 'f:struct': { 'f:name': {}, 'f:value': {} } }],
    [{ struct: {} }, { 'f:struct': {} }],
    [{ map: { a: '1' } }, { 'f:map': { 'f:a': {} } }],
    [{ mapOfMaps: { a: { b: 'x' } } }, { 'f:mapOfMaps': { 'f:a': { '.': {}, 'f:b': {} } } }],
    [{ atomicList: ['a'] }, { 'f:atomicList': {} }],
    [{ atomicMap: { a: 'b' } }, { 'f:atomicMap': {} }],
    [{ setStr: ['a'] }, { 'f:setStr': { 'v:"a"': {} } }],
    [{ list: [{ name: 'a', value: 1 }] }, { 'f:list': item('a', 'value') }],
    // Items that cannot be told apart have one owner.
    [{ list: [{ name: 'a' }, { name: 'a' }] }, { 'f:list': {} }],
    [{ list: [{ value: 1 }] }, { 'f:list': {} }],
  ]
  for (const [value, set] of cases) assert.deepEqual(encodeFields(fieldsIn(value, structure)), set)
})

test('comparison: added, modified and removed fields, each once', () => {
  const before = {
    name: 'a',
    map: { a: '1', b: '2' },
    list: [{ name: 'x', value: 1 }],
    struct: { name: 's' },
  }
  const after = { name: 'b', map: { a: '1', c: '3' }, list: [{ name: 'x', value: 2 }, { name: 'y' }] }
  const { added, modified, removed } = compare(before, after, structure)
  assert.deepEqual(encodeFields(added), { 'f:list': item('y'), 'f:map': { 'f:c': {} } })
  assert.deepEqual(encodeFields(modified), {
    'f:list': { 'k:{"name":"x"}': { 'f:value': {} } },
    'f:name': {},
  })
  assert.deepEqual(encodeFields(removed), { 'f:map': { 'f:b': {} }, 'f:struct': { '.': {}, 'f:name': {} } })
})

test('applying twice is applying once', () => {
  const config = fc.record(
    {
      name: fc.string(),
      map: fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.string(), {
        minKeys: 1,
        noNullPrototype: true,
      }),
      setStr: fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd'), { minLength: 1 }),
      list: fc.uniqueArray(
        fc.record({ name: fc.constantFrom('a', 'b', 'c'), value: fc.nat(3) }, { noNullPrototype: true }),
        {
          selector: ({ name }) => name,
          minLength: 1,
        },
      ),
    },
    { requiredKeys: [], noNullPrototype: true },
  )
  fc.assert(
    fc.property(config, config, config, (first, second, third) => {
      const start = apply(apply(empty, 'a', first), 'b', second, true)
      const once = apply(start, 'a', third, true)
      const twice = apply(once, 'a', third, true)
      assert.deepEqual(twice, once)
      for (const { fields } of once.managers) {
        assert.ok(sameFields(decodeFields(encodeFields(fields))!, fields))
        assert.ok(sameFields(union(fields, fields), fields))
      }
    }),
  )
})

test('entries are read as they were written, and what is not in order is told', () => {
  const { managers } = update(apply(empty, 'a', { name: 'x' }), 'b', { name: 'y', map: { k: 'v' } })
  const entries = encodeManagers(managers, 'g/v1')
  assert.deepEqual(encodeManagers(decodeManagers(entries)!, 'g/v1'), entries)
  const broken: readonly unknown[] = [
    null,
    {},
    { ...entries[0], operation: 'Guess' },
    { ...entries[0], fieldsType: 'FieldsV2' },
    { ...entries[0], fieldsV1: { name: {} } },
    { ...entries[0], fieldsV1: { 'k:[': {} } },
    { ...entries[0], fieldsV1: { 'f:a': 1 } },
  ]
  for (const entry of broken) assert.equal(decodeManagers([entry]), undefined, JSON.stringify(entry))
})

test('beyond ten updaters the oldest are counted together', () => {
  let state = empty
  const object: Record<string, unknown> = {}
  for (let index = 0; index < 14; index++) {
    object[`f${index}`] = index
    const by = { name: `m${index}`, operation: 'Update' as const }
    const time = `2026-01-01T00:00:${String(index + 10)}Z`
    const after = { ...object }
    const managers = updated(state.managers, { before: state.object, after, by, at: time }, structure)
    state = { object: after, managers: decodeManagers(encodeManagers(managers, 'v1'))! }
  }
  assert.equal(state.managers.length, 10)
  const bucket = state.managers.find(({ name }) => name === 'ancient-changes')
  assert.deepEqual(Object.keys(encodeFields(bucket!.fields)), ['f:f0', 'f:f1', 'f:f2', 'f:f3', 'f:f4'])
})
