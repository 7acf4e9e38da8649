import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { userFromClaims, type ClaimMapping } from './index.ts'

const mapping: ClaimMapping = {
  usernameClaim: 'email',
  usernamePrefix: 'corp:',
  groupsClaim: 'groups',
  groupsPrefix: 'corp:',
  requiredClaims: { hd: ['example.org', 'example.com'] },
}
const claims = {
  sub: '1',
  email: 'ada@example.org',
  email_verified: true,
  hd: 'example.org',
  groups: ['dev', 'ops'],
}
const read = (over: Record<string, unknown> = {}, mapped: Partial<ClaimMapping> = {}) =>
  userFromClaims({ ...mapping, ...mapped }, { ...claims, ...over })

function groupsIn(claimed: ReturnType<typeof read>): readonly string[] {
  assert.ok('user' in claimed)
  return claimed.user.groups
}

describe('the user that an ID token names', () => {
  test('has the prefixes of the provider', () => {
    assert.deepEqual(read(), {
      user: { name: 'corp:ada@example.org', groups: ['corp:dev', 'corp:ops', 'system:authenticated'] },
    })
  })
  test('may be in one group, written as a text, or in none', () => {
    const groups = (value: unknown) => groupsIn(read({ groups: value }))
    assert.deepEqual(groups('dev'), ['corp:dev', 'system:authenticated'])
    for (const none of [undefined, null, '', [], [1, {}, ''], ['a\nb']]) {
      assert.deepEqual(groups(none), ['system:authenticated'])
    }
    assert.deepEqual(groupsIn(read({}, { groupsClaim: 'absent' })), ['system:authenticated'])
  })
  const refusals: [
    title: string,
    over: Record<string, unknown>,
    mapped: Partial<ClaimMapping>,
    why: RegExp,
  ][] = [
    ['a name of the server', { email: 'system:admin' }, { usernamePrefix: '' }, /the server's own/],
    ['a name put together from prefix and claim', { email: 'tem:admin' }, { usernamePrefix: 'sys' }, /own/],
    ['an address that is not verified', { email_verified: false }, {}, /not verified/],
    ['one that is verified in words only', { email_verified: 'false' }, {}, /not verified/],
    ['no name', { email: undefined }, {}, /no claim email/],
    ['an empty name', { email: '' }, {}, /no claim email/],
    ['a name that is none', { email: ['a'] }, {}, /no claim email/],
    ['a name of several lines', { email: 'a\nb' }, {}, /control characters/],
    ['a name that moves a terminal', { email: 'a\u009b2J' }, {}, /control characters/],
    ['another domain', { hd: 'example.net' }, {}, /hd is not example.org or example.com/],
    ['no domain', { hd: undefined }, {}, /hd is not/],
    ['a list of domains', { hd: ['example.org'] }, {}, /hd is not/],
  ]
  for (const [title, over, mapped, why] of refusals) {
    test(`is refused for ${title}`, () => {
      const claimed = read(over, mapped)
      assert.ok('refused' in claimed)
      assert.match(claimed.refused, why)
    })
  }
  test('never is in a group of the server', () => {
    const result = read({ groups: ['system:masters', 'ok', 'stem:masters'] }, { groupsPrefix: '' })
    assert.deepEqual(groupsIn(result), ['ok', 'stem:masters', 'system:authenticated'])
    const joined = read({ groups: ['stem:masters'] }, { groupsPrefix: 'sy' })
    assert.deepEqual(groupsIn(joined), ['system:authenticated'])
  })
})
