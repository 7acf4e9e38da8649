import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import { matchesGlob } from './glob.ts'
import { evaluate, parsePolicy, PolicyError, type PolicyRequest } from './policy.ts'

const statement = { Effect: 'Allow', Action: 's3:GetObject', Resource: 'arn:aws:s3:::b/*' }
const request: PolicyRequest = { action: 's3:GetObject', resource: 'arn:aws:s3:::b/k', context: new Map() }

function decide(statements: object | object[], changes: Partial<PolicyRequest> = {}) {
  const text = JSON.stringify({ Version: '2012-10-17', Statement: statements })
  return evaluate([parsePolicy(text, 'identity')], { ...request, ...changes })
}

describe('identity policies', () => {
  test('nothing said means no', () => {
    assert.equal(evaluate([], request), 'implicit-deny')
    assert.equal(decide(statement, { action: 's3:PutObject' }), 'implicit-deny')
    assert.equal(decide(statement, { resource: 'arn:aws:s3:::c/k' }), 'implicit-deny')
  })

  test('actions match in any case and with wildcards, resources in their own case', () => {
    assert.equal(decide({ ...statement, Action: ['S3:get*'] }), 'allow')
    assert.equal(decide({ ...statement, Action: '*' }), 'allow')
    assert.equal(decide({ ...statement, Resource: 'arn:aws:s3:::B/*' }), 'implicit-deny')
  })

  test('a Deny wins wherever it stands', () => {
    const deny = { ...statement, Effect: 'Deny', Resource: '*' }
    assert.equal(decide([statement, deny]), 'explicit-deny')
    assert.equal(decide([deny, statement]), 'explicit-deny')
  })

  test('NotAction and NotResource match everything else', () => {
    const { Action: _action, ...rest } = statement
    assert.equal(decide({ ...rest, NotAction: 's3:Put*' }), 'allow')
    assert.equal(decide({ ...rest, NotAction: 's3:Get*' }), 'implicit-deny')
    assert.equal(decide({ Effect: 'Allow', Action: '*', NotResource: 'arn:aws:s3:::b/*' }), 'implicit-deny')
  })

  test('policy variables take the value of the context, and match nothing without one', () => {
    const own = { ...statement, Resource: 'arn:aws:s3:::b/${aws:userid}/*' }
    const resource = 'arn:aws:s3:::b/me/k'
    assert.equal(decide(own, { resource, context: new Map([['aws:userid', ['me']]]) }), 'allow')
    assert.equal(decide(own, { resource }), 'implicit-deny')
  })

  test('what is not understood is refused, never ignored', () => {
    for (const bad of [
      { ...statement, Effect: 'allow' },
      { ...statement, Principal: '*' },
      { ...statement, Condition: { StringSortOf: { a: 'b' } } },
      { ...statement, Surprise: true },
      { Effect: 'Allow', Action: '*' },
      { Effect: 'Allow', Resource: '*' },
      { ...statement, NotAction: '*' },
      { ...statement, Action: { a: 1 } },
    ]) {
      assert.throws(() => decide(bad), PolicyError, JSON.stringify(bad))
    }
    assert.throws(() => parsePolicy('{', 'identity'), PolicyError)
    assert.throws(() => parsePolicy('{"Statement":{},"Extra":1}', 'identity'), PolicyError)
  })
})

describe('conditions', () => {
  const context = new Map([
    ['k', ['Value']],
    ['many', ['a', 'b']],
    ['n', ['5']],
    ['arn', ['arn:aws:iam::1:role/x']],
  ])
  const cases: [operator: string, keys: Record<string, string | string[] | boolean>, holds: boolean][] = [
    ['StringEquals', { K: 'Value' }, true],
    ['StringEquals', { k: 'value' }, false],
    ['StringEquals', { k: ['x', 'Value'] }, true],
    ['StringEquals', { none: 'x' }, false],
    ['StringEqualsIfExists', { none: 'x' }, true],
    ['StringEqualsIgnoreCase', { k: 'value' }, true],
    ['StringNotEquals', { k: 'Value' }, false],
    ['StringNotEquals', { none: 'x' }, true],
    ['StringLike', { k: 'V*e' }, true],
    ['StringLike', { k: 'V?e' }, false],
    ['StringNotLike', { k: ['x*', 'V*'] }, false],
    ['NumericLessThan', { n: '10' }, true],
    ['NumericGreaterThanEquals', { n: '6' }, false],
    ['ArnLike', { arn: 'arn:aws:iam::*:role/*' }, true],
    ['Null', { none: true }, true],
    ['Null', { k: true }, false],
    ['ForAnyValue:StringEquals', { many: 'a' }, true],
    ['ForAllValues:StringEquals', { many: 'a' }, false],
    ['ForAllValues:StringEquals', { many: ['a', 'b', 'c'] }, true],
    ['StringEquals', { k: 'Value', none: 'x' }, false],
  ]
  for (const [operator, keys, holds] of cases) {
    test(`${operator} ${JSON.stringify(keys)} is ${holds}`, () => {
      const decision = decide({ ...statement, Condition: { [operator]: keys } }, { context })
      assert.equal(decision === 'allow', holds)
    })
  }
})

describe('wildcards', () => {
  test('match exactly what the regular expression would', () => {
    const letters = fc
      .array(fc.constantFrom('a', 'b', '*', '?', '.'), { maxLength: 8 })
      .map((each) => each.join(''))
    fc.assert(
      fc.property(letters, letters, (pattern, text) => {
        const source = pattern.replaceAll('.', '\\.').replaceAll('*', '.*').replaceAll('?', '.')
        assert.equal(matchesGlob(pattern, text), new RegExp(`^${source}$`).test(text))
      }),
    )
  })

  test('take no exponential time', () => {
    assert.equal(matchesGlob('*a'.repeat(200), 'a'.repeat(5000) + 'b'), false)
  })
})
