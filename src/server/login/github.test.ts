import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Secret } from '#base/secret'
import type { HttpClient } from '#server/exchange'
import { identify } from './github.ts'

/** GitHub for a member of `acme` who is in one team. */
function hubOf(team: { slug: string; name: string }): Pick<HttpClient, 'request'> {
  const answers: Readonly<Record<string, unknown>> = {
    '/login/oauth/access_token': { access_token: 't' },
    '/api/v3/user': { id: 1, login: 'eve' },
    '/api/v3/user/memberships/orgs/acme': { state: 'active', organization: { login: 'acme' } },
    '/api/v3/user/teams': [{ ...team, organization: { login: 'acme' } }],
  }
  return {
    request: async ({ pathname }) => {
      return { status: 200, headers: {}, body: Buffer.from(JSON.stringify(answers[pathname])) }
    },
  }
}

test('a team of a name that only looks like that of one is another', async () => {
  const login = {
    baseURL: 'https://hub.example',
    apiURL: 'https://hub.example/api/v3',
    clientID: 'c',
    clientSecretRef: { name: 's', key: 'k' },
    requiredOrgs: [{ name: 'acme', teams: ['kernel'] }],
  }
  const enter = (team: { slug: string; name: string }) => {
    const given = { code: 'c', verifier: 'v', redirectUri: 'https://here.example' }
    return identify(login, given, { http: hubOf(team), clientSecret: Secret.of('s') })
  }
  const { groups } = await enter({ slug: 'kernel', name: 'Kernel' })
  assert.deepEqual(groups, ['acme', 'acme:kernel'])
  // The sign of Kelvin, of which GitHub makes a hyphen in the slug, and which is a k in lower case.
  await assert.rejects(enter({ slug: 'ernel', name: '\u212aernel' }), { code: 'TOKEN_INVALID' })
})
