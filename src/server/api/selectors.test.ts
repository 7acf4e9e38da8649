import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { definitionOf, type Resource } from '#model/resource'
import { parseFieldSelector } from './selectors-field.ts'
import { parseLabelSelector } from './selectors-label.ts'
import { selectionFrom } from './selectors.ts'
import { RequestRefusal } from './status.ts'

const labels = { app: 'web', 'example.org/tier': 'front', size: '7', empty: '' }

const cases: readonly [selector: string, holds: boolean][] = [
  ['', true],
  ['app', true],
  ['!app', false],
  ['! gone', true],
  ['gone', false],
  ['app=web', true],
  ['app==web', true],
  [' app = web , size = 7 ', true],
  ['app=web,size=8', false],
  ['app!=web', false],
  ['gone!=web', true],
  ['empty=', true],
  ['app=', false],
  ['gone=', false],
  ['app in (db, web)', true],
  ['app in (db)', false],
  ['app in ()', false],
  ['app notin (db,cache)', true],
  ['app notin (web)', false],
  ['gone notin (web)', true],
  ['gone in (web)', false],
  ['example.org/tier=front', true],
  ['example.org/tier in (front,back),app,!gone,size>6,size<8', true],
  ['size>7', false],
  ['app>1', false],
  ['in=x', false],
  ['constructor', false],
  ['!toString', true],
  ['hasOwnProperty notin (x)', true],
]

for (const [selector, holds] of cases) {
  test(`the label selector ${JSON.stringify(selector)} ${holds ? 'holds' : 'does not hold'}`, () => {
    assert.equal(parseLabelSelector(selector)(labels), holds)
  })
}

for (const selector of [
  'app=web,',
  ',app',
  'app in web',
  'app in (a',
  'app=a=b',
  'app in (a),(b)',
  '-app',
  'a b',
  'a//b',
  'UP.io/x',
  'size>x',
  `app=${'x'.repeat(64)}`,
  'app=é',
  '!app=web',
  'appin (web)',
  'appnotin (web)',
]) {
  test(`the label selector ${JSON.stringify(selector.slice(0, 20))} is refused`, () => {
    assert.throws(() => parseLabelSelector(selector), RequestRefusal)
  })
}

test('any text is a label selector or is refused', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'ab/.=!<>(), in\\-'.split('')) }), (text) => {
      try {
        parseLabelSelector(text)({})
      } catch (error) {
        assert.ok(error instanceof RequestRefusal)
      }
    }),
  )
})

const service = {
  apiVersion: 'core.riptides.io/v1alpha1',
  kind: 'Service',
  metadata: { name: 'aws', namespace: 'n' },
  spec: { labels: {}, external: true },
  status: { state: 'OK' },
} as unknown as Resource

for (const [selector, holds] of [
  ['metadata.name=aws', true],
  ['metadata.name==aws,metadata.namespace=n', true],
  ['metadata.name!=aws', false],
  ['status.state=OK', true],
  ['status.state!=FAILED,spec.external=true', true],
  ['metadata.name=a\\,b', false],
  ['metadata.name=aws,', true],
  [',metadata.name=aws,,metadata.namespace=m', false],
  [',', true],
] as const) {
  test(`the field selector ${selector} ${holds ? 'holds' : 'does not hold'}`, () => {
    assert.equal(parseFieldSelector(selector, definitionOf('Service'))(service), holds)
  })
}

test('many blanks are read as one', () => {
  const blanks = ' '.repeat(14_000)
  assert.equal(parseLabelSelector(`app${blanks}=${blanks}web`)(labels), true)
  assert.throws(() => parseLabelSelector(`app${blanks}^`), RequestRefusal)
})

test('a field that nothing is selected by is refused with those that there are', () => {
  assert.throws(
    () => parseFieldSelector('spec.nothing=1', definitionOf('Service')),
    /field label not supported: spec\.nothing; a Service is selected by metadata\.name, .*status\.state/,
  )
  for (const text of ['metadata.name', 'metadata.name>1', 'metadata.name=a=b', '=x', 'metadata.name=a\\']) {
    assert.throws(() => parseFieldSelector(text, definitionOf('Service')), RequestRefusal)
  }
})

test('a selector that is given twice is refused, for one of them would be ignored', () => {
  const twice = { labelSelector: ['a', 'b'] }
  assert.throws(() => selectionFrom(twice, definitionOf('Service')), RequestRefusal)
})
