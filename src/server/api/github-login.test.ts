import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import { authorizationCodeGrant, buildAuthorizationUrl, calculatePKCECodeChallenge } from 'openid-client'
import { core } from './test-objects.ts'
import { unguarded } from './test-server.ts'
import {
  ada,
  cookieOf,
  issuerPath,
  locationOf,
  openBed,
  openClient,
  redirectUri,
  secret,
  whoIs,
  type Person,
} from './test-github.ts'

describe('logging in at GitHub', () => {
  test('makes the members of an organisation users, with their teams as groups', async () => {
    await using bed = await openBed()
    const login = JSON.parse((await bed.get('/login')).body) as {
      clients: { issuer: string; ownIssuer: boolean }[]
    }
    assert.deepEqual(
      [login.clients[0]!.issuer, login.clients[0]!.ownIssuer],
      [bed.server.url + issuerPath, true],
    )
    const back = await bed.finish()
    assert.equal(back.href.split('?')[0], redirectUri)
    assert.equal(back.searchParams.get('state'), 'my state')
    assert.equal(back.searchParams.get('iss'), bed.server.url + issuerPath)
    assert.deepEqual(await whoIs(bed.server, await bed.tokenOf()), {
      username: 'hub:ada',
      uid: '42',
      groups: ['hub:acme', 'hub:acme:platform', 'hub:acme:web', 'system:authenticated'],
    })
  })

  test('works with a client that knows OpenID Connect and nothing of this server', async () => {
    await using bed = await openBed()
    const { server } = bed
    const configuration = await openClient(server)
    const pkceCodeVerifier = randomBytes(32).toString('base64url')
    const url = buildAuthorizationUrl(configuration, {
      redirect_uri: redirectUri,
      scope: 'openid',
      code_challenge: await calculatePKCECodeChallenge(pkceCodeVerifier),
      code_challenge_method: 'S256',
      state: 'x',
      nonce: 'y',
    })
    const begun = await bed.get(url.href.slice(server.url.length))
    const ended = await bed.get(bed.provider.agree(locationOf(begun)), { cookie: cookieOf(begun) })
    const tokens = await authorizationCodeGrant(configuration, new URL(locationOf(ended)), {
      pkceCodeVerifier,
      expectedState: 'x',
      expectedNonce: 'y',
      idTokenExpected: true,
    })
    assert.equal((await whoIs(server, tokens.id_token!))?.username, 'hub:ada')
  })

  test('lets in only members of the teams that are named', async () => {
    await using bed = await openBed({
      requiredOrgs: [
        { name: 'acme', teams: ['WEB', 'ops'] },
        { name: 'other', teams: ['y'] },
      ],
    })
    const user = await whoIs(bed.server, await bed.tokenOf())
    assert.deepEqual(user!.groups, ['hub:acme', 'hub:acme:web', 'system:authenticated'])
  })

  test('reads all the teams of somebody in many', async () => {
    await using bed = await openBed({ requiredOrgs: [{ name: 'Acme', teams: ['t149'] }] })
    const teams = Array.from({ length: 150 }, (_, index) => `t${index}`)
    bed.provider.hub.person = { ...ada, orgs: { Acme: { state: 'active', teams } } }
    assert.ok((await whoIs(bed.server, await bed.tokenOf()))!.groups.includes('hub:Acme:t149'))
  })

  const strangers: [why: string, orgs: Person['orgs']][] = [
    ['in no organisation', {}],
    ['in another one', { Other: { state: 'active', teams: ['platform'] } }],
    ['only invited', { Acme: { state: 'pending', teams: [] } }],
    [
      'in none of the teams',
      { Acme: { state: 'active', teams: ['web'] }, Other: { state: 'active', teams: ['platform'] } },
    ],
  ]
  for (const [why, orgs] of strangers) {
    test(`refuses whoever is ${why}`, async () => {
      await using bed = await openBed({ requiredOrgs: [{ name: 'acme', teams: ['platform'] }] })
      bed.provider.hub.person = { ...ada, orgs }
      const { searchParams } = await bed.finish()
      assert.deepEqual([searchParams.get('error'), searchParams.get('code')], ['access_denied', null])
    })
  }

  test('does not hand out the client secret, nor the token of GitHub', async () => {
    await using bed = await openBed()
    const begun = await bed.begin()
    const token = await bed.tokenOf()
    for (const text of [locationOf(begun), cookieOf(begun), token]) {
      const plain = text.split('.').map((part) => Buffer.from(part, 'base64url').toString())
      for (const part of [text, ...plain]) assert.ok(!part.includes(secret) && !part.includes('gho_'))
    }
  })
})

describe('a login that somebody tampers with', () => {
  test('is not sent to a URL that is not registered, whatever is wrong besides', async () => {
    await using bed = await openBed()
    for (const redirect_uri of [
      'https://evil.example/callback',
      'http://127.0.0.1:4711/other',
      'http://127.0.0.1.evil.example/callback',
      'http://127.0.0.1@evil.example/callback',
      'http://localhost:4711/callback',
      'https://127.0.0.1:4711/callback',
      'javascript:alert(1)',
      '',
    ]) {
      const answer = await bed.begin({ redirect_uri, response_type: 'token' })
      assert.deepEqual([answer.status, answer.headers['location']], [400, undefined], redirect_uri)
    }
    assert.equal((await bed.begin({ client_id: 'other' })).status, 400)
    const twice = await bed.get(
      `${issuerPath}/authorize?client_id=cli&redirect_uri=${encodeURIComponent(redirectUri)}&redirect_uri=https://evil.example`,
    )
    assert.equal(twice.status, 400)
  })

  test('begins only with PKCE, and for a code', async () => {
    await using bed = await openBed()
    for (const [change, error] of [
      [{ code_challenge: '' }, 'invalid_request'],
      [{ code_challenge_method: 'plain' }, 'invalid_request'],
      [{ response_type: 'token' }, 'unsupported_response_type'],
      [{ scope: 'email' }, 'invalid_scope'],
    ] as const) {
      const { searchParams } = new URL(locationOf(await bed.begin(change)))
      assert.deepEqual([searchParams.get('error'), searchParams.get('state')], [error, 'my state'])
    }
  })

  test('ends only in the browser in which it began', async () => {
    await using bed = await openBed()
    const [own, others] = [await bed.begin(), await bed.begin()]
    const back = bed.provider.agree(locationOf(own))
    for (const cookie of ['', cookieOf(others), '__Host-tideway-login=x', `${cookieOf(own)}x`]) {
      const answer = await bed.get(back, { cookie })
      assert.deepEqual([answer.status, answer.headers['location']], [400, undefined])
    }
    assert.ok(!bed.provider.hub.asked.includes('POST /login/oauth/access_token'))
    await bed.server.clock.advance(601_000)
    assert.equal((await bed.get(back, { cookie: cookieOf(own) })).status, 400)
  })

  test('gives its token once, to the program that began it, within a minute', async () => {
    await using bed = await openBed()
    const code = await bed.codeOf()
    for (const change of [
      { code_verifier: randomBytes(32).toString('base64url') },
      { redirect_uri: 'http://127.0.0.1:1/callback' },
      { client_id: 'other' },
      { code: `${code}x` },
      { code: cookieOf(await bed.begin()).split('=')[1]! },
    ]) {
      const refused = await bed.redeem(code, change)
      assert.deepEqual([refused.status, JSON.parse(refused.body)], [400, { error: 'invalid_grant' }])
    }
    assert.equal((await bed.redeem(code)).status, 200)
    assert.equal((await bed.redeem(code)).status, 400)
    const late = await bed.codeOf()
    await bed.server.clock.advance(61_000)
    assert.equal((await bed.redeem(late)).status, 400)
  })

  test('by a grant that there is, and no other word', async () => {
    await using bed = await openBed()
    const code = await bed.codeOf()
    for (const grant_type of ['password', 'constructor', 'toString', '__proto__', '']) {
      const refused = await bed.redeem(code, { grant_type })
      const answer = [refused.status, JSON.parse(refused.body)]
      assert.deepEqual(answer, [400, { error: 'unsupported_grant_type' }], grant_type)
    }
  })

  test('no other paper of a login is a token', async () => {
    await using bed = await openBed()
    const flow = cookieOf(await bed.begin()).split('=')[1]!
    for (const paper of [flow, await bed.codeOf()]) assert.equal(await whoIs(bed.server, paper), undefined)
  })
})

describe('a token of a login', () => {
  test('ends after an hour', async () => {
    await using bed = await openBed()
    const token = await bed.tokenOf()
    await bed.server.clock.advance(3_601_000)
    assert.equal(await whoIs(bed.server, token), undefined)
  })

  test('ends when the provider changes, for who may log in may have changed', async () => {
    await using bed = await openBed()
    const token = await bed.tokenOf()
    const { spec } = await bed.server.client.get('IdentityProvider', 'hub')
    const github = { ...spec.github!, requiredOrgs: [{ name: 'nobody' }] }
    await bed.server.client.update({
      apiVersion: core,
      kind: 'IdentityProvider',
      metadata: { name: 'hub' },
      spec: { ...spec, github },
    })
    while ((await whoIs(bed.server, token)) !== undefined);
  })

  test('ends where its names are those of another provider', async () => {
    await using bed = await openBed()
    const token = await bed.tokenOf()
    // Of the same second, and first by name: as two that are created at the same moment.
    await unguarded(bed.server).create({
      apiVersion: core,
      kind: 'IdentityProvider',
      metadata: { name: 'a' },
      spec: { name: 'a', oidc: { issuer: 'https://id.example', audiences: ['a'], usernamePrefix: 'hu' } },
    })
    while ((await whoIs(bed.server, token)) !== undefined);
    assert.equal((await bed.begin()).status, 404)
  })

  test('ends with the provider', async () => {
    await using bed = await openBed()
    const token = await bed.tokenOf()
    await bed.server.client.delete('IdentityProvider', 'hub')
    while ((await whoIs(bed.server, token)) !== undefined);
    assert.equal((await bed.begin()).status, 404)
  })
})
