import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ruleAllows, uncoveredRules, type AccessRequest, type PolicyRule } from './index.ts'

type Ask = readonly [verb: string, group: string, resource: string, subresource?: string, name?: string]

const resourceRequest = ([verb, group, resource, subresource = '', name = '']: Ask): AccessRequest => ({
  verb,
  group,
  version: 'v1',
  resource,
  subresource,
  namespace: '',
  name,
})

const rule = (
  verbs: string[],
  apiGroups: string[],
  resources: string[],
  resourceNames?: string[],
): PolicyRule => ({ verbs, apiGroups, resources, ...(resourceNames && { resourceNames }) })

describe('what a rule allows (the table of plugin/pkg/auth/authorizer/rbac TestRuleMatches)', () => {
  const everything = rule(['*'], ['*'], ['*'])
  const cases: [PolicyRule, allowed: Ask[], refused: Ask[]][] = [
    [
      rule(['verb1'], ['group1'], ['resource1']),
      [['verb1', 'group1', 'resource1']],
      [
        ['verb1', '', 'resource1'],
        ['verb1', 'group2', 'resource1'],
        ['verb2', 'group1', 'resource1'],
        ['verb1', 'group1', 'resource2'],
        ['verb1', 'group1', 'resource1', 'status'],
      ],
    ],
    [
      rule(['verb1'], [''], ['resource1/subresource1']),
      [['verb1', '', 'resource1', 'subresource1']],
      [
        ['verb1', '', 'resource1'],
        ['verb1', '', 'resource1', 'subresource2'],
        ['verb1', '', 'subresource1'],
      ],
    ],
    [
      rule(['verb1'], [''], ['*/subresource1']),
      [
        ['verb1', '', 'resource1', 'subresource1'],
        ['verb1', '', 'resource2', 'subresource1'],
      ],
      [
        ['verb1', '', 'resource1'],
        ['verb1', '', 'resource1', 'subresource2'],
      ],
    ],
    [
      rule(['*'], ['*'], ['resource1', 'resource1/*']),
      [['verb1', 'group1', 'resource1']],
      [
        ['verb1', 'group1', 'resource1', 'subresource1'],
        ['verb1', 'group1', 'resource2'],
      ],
    ],
    [
      rule(['get', 'list'], [''], ['secrets'], ['mine', 'ours']),
      [
        ['get', '', 'secrets', '', 'mine'],
        ['list', '', 'secrets', '', 'ours'],
      ],
      [
        ['get', '', 'secrets', '', 'theirs'],
        ['list', '', 'secrets'],
      ],
    ],
    [everything, [['verb1', 'group1', 'resource1', 'subresource1', 'x']], []],
    [{ verbs: ['*'], nonResourceURLs: ['*'] }, [], [['get', '', 'pods']]],
    [rule([], ['*'], ['*']), [], [['get', '', 'pods']]],
    [{ verbs: ['*'] }, [], [['get', '', 'pods']]],
  ]
  for (const [given, allowed, refused] of cases) {
    test(JSON.stringify(given), () => {
      for (const ask of allowed) assert.equal(ruleAllows(given, resourceRequest(ask)), true, ask.join(' '))
      for (const ask of refused) assert.equal(ruleAllows(given, resourceRequest(ask)), false, ask.join(' '))
    })
  }

  test('paths match as they are, or by what stands before a star at the end', () => {
    const paths: [pattern: string, path: string, allowed: boolean][] = [
      ['*', '/foo', true],
      ['/*', '/foo', true],
      ['/foo', '/foo', true],
      ['/foo', '/foo/bar', false],
      ['/foo/*', '/foo/bar', true],
      ['/foo/*', '/foo', false],
      ['/foo*', '/foobar', true],
      ['/*/bar', '/foo/bar', false],
    ]
    for (const [pattern, path, allowed] of paths) {
      const given = { verbs: ['get'], nonResourceURLs: [pattern] }
      assert.equal(ruleAllows(given, { verb: 'get', path }), allowed, `${pattern} ${path}`)
      assert.equal(ruleAllows(given, { verb: 'post', path }), false)
    }
    assert.equal(ruleAllows(everything, { verb: 'get', path: '/foo' }), false)
  })
})

describe('what rules cover (the table of component-helpers policy_comparator_test)', () => {
  const cases: [name: string, owned: PolicyRule[], wanted: PolicyRule[], uncovered: PolicyRule[]][] = [
    ['the same', [rule(['get'], ['v1'], ['pods'])], [rule(['get'], ['v1'], ['pods'])], []],
    [
      'one of several',
      [rule(['get'], ['v1'], ['pods'])],
      [rule(['get', 'list'], ['v1'], ['pods', 'secrets'])],
      [
        rule(['list'], ['v1'], ['pods']),
        rule(['get'], ['v1'], ['secrets']),
        rule(['list'], ['v1'], ['secrets']),
      ],
    ],
    [
      'covered by several together',
      [rule(['get'], ['v1'], ['pods']), rule(['list'], ['v1', 'v2'], ['pods'])],
      [rule(['get', 'list'], ['v1'], ['pods'])],
      [],
    ],
    ['a star covers', [rule(['*'], ['*'], ['*'])], [rule(['get'], ['v1'], ['pods', 'pods/log', '*'])], []],
    [
      'only a star covers a star',
      [rule(['get', 'list', 'watch', 'create', 'update', 'patch', 'delete'], ['v1'], ['pods'])],
      [rule(['*'], ['v1'], ['pods'])],
      [rule(['*'], ['v1'], ['pods'])],
    ],
    ['a subresource of all', [rule(['get'], [''], ['*/scale'])], [rule(['get'], [''], ['foo/scale'])], []],
    [
      'a subresource of another name',
      [rule(['get'], [''], ['*/scale'])],
      [rule(['get'], [''], ['foo/status'])],
      [rule(['get'], [''], ['foo/status'])],
    ],
    ['names within all', [rule(['get'], [''], ['pods'])], [rule(['get'], [''], ['pods'], ['a'])], []],
    [
      'all within names',
      [rule(['get'], [''], ['pods'], ['a'])],
      [rule(['get'], [''], ['pods'])],
      [rule(['get'], [''], ['pods'])],
    ],
    [
      'some names',
      [rule(['get'], [''], ['pods'], ['a'])],
      [rule(['get'], [''], ['pods'], ['a', 'b'])],
      [rule(['get'], [''], ['pods'], ['b'])],
    ],
    [
      'paths',
      [{ verbs: ['get'], nonResourceURLs: ['/apis', '/apis/*'] }],
      [{ verbs: ['get'], nonResourceURLs: ['/apis', '/apis/a/*', '/audit', '/*'] }],
      [
        { verbs: ['get'], nonResourceURLs: ['/audit'] },
        { verbs: ['get'], nonResourceURLs: ['/*'] },
      ],
    ],
    [
      'resources do not cover paths',
      [rule(['*'], ['*'], ['*'])],
      [{ verbs: ['get'], nonResourceURLs: ['/audit'] }],
      [{ verbs: ['get'], nonResourceURLs: ['/audit'] }],
    ],
  ]
  for (const [name, owned, wanted, uncovered] of cases) {
    test(name, () => assert.deepEqual(uncoveredRules(owned, wanted), uncovered))
  }

  // Each of these would be taken apart into a billion, which fit into no memory.
  const many = (word: string) => Array.from({ length: 1000 }, (_, index) => `${word}${index}`)
  const vast = rule(many('verb'), ['v1'], many('kind'), many('name'))

  test('what one rule holds as it stands, however much it is', () => {
    assert.deepEqual(uncoveredRules([vast], [vast]), [])
    assert.deepEqual(uncoveredRules([rule(['*'], ['*'], ['*'])], [vast, vast]), [])
  })

  test('nothing is said of more than can be compared one by one', () => {
    assert.equal(uncoveredRules([], [vast]), undefined)
    assert.equal(uncoveredRules([{ ...vast, verbs: ['get'] }], [vast]), undefined)
  })
})
