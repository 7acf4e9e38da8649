import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { describe, test } from 'node:test'
import {
  authorizationCodeGrant,
  buildAuthorizationUrl,
  calculatePKCECodeChallenge,
  clockSkew,
  customFetch,
  discovery,
  enableNonRepudiationChecks,
  None,
} from 'openid-client'
import { core } from './test-objects.ts'
import { openTestServer, type Answer, type TestServer } from './test-server.ts'

const secret = 'the client secret'
const redirectUri = 'http://127.0.0.1:4711/callback'
const issuerPath = '/login/providers/hub'

interface Person {
  readonly id: number
  readonly login: string
  /** By organisation: the slugs of the teams; an invitation that was not accepted is no membership. */
  readonly orgs: Readonly<Record<string, { state: 'active' | 'pending'; teams: string[] }>>
}

/**
 * GitHub as its documents have it ("Authorizing OAuth apps", REST API "Organization members" and "Teams"), on
 * loopback: whoever comes is the person of the moment, and agrees.
 */
async function openGitHub() {
  const hub = { person: undefined as Person | undefined, asked: [] as string[] }
  const codes = new Map<string, { challenge: string; redirectUri: string }>()
  const tokens = new Map<string, Person>()
  const server = createServer((request, response) => void answer(request, response))

  async function answer(request: IncomingMessage, response: ServerResponse) {
    const { pathname, searchParams } = new URL(request.url!, 'http://hub')
    const send = (status: number, body: unknown) => response.writeHead(status).end(JSON.stringify(body))
    hub.asked.push(`${request.method} ${pathname}`)
    if (pathname === '/login/oauth/access_token') {
      const form = new URLSearchParams(await text(request))
      const known = codes.get(form.get('code')!)
      const challenge = createHash('sha256').update(form.get('code_verifier')!).digest('base64url')
      // GitHub says 200 when it refuses.
      if (form.get('client_secret') !== secret) return send(200, { error: 'incorrect_client_credentials' })
      if (known?.challenge !== challenge || known.redirectUri !== form.get('redirect_uri'))
        return send(200, { error: 'bad_verification_code' })
      codes.delete(form.get('code')!)
      const token = `gho_${randomBytes(8).toString('hex')}`
      tokens.set(token, hub.person!)
      return send(200, { access_token: token, token_type: 'bearer', scope: 'read:org' })
    }
    const person = tokens.get(request.headers.authorization?.replace('Bearer ', '') ?? '')
    if (!person) return send(401, { message: 'Bad credentials' })
    if (pathname === '/api/v3/user') return send(200, { id: person.id, login: person.login })
    const org = /^\/api\/v3\/user\/memberships\/orgs\/([^/]+)$/.exec(pathname)?.[1]
    if (org !== undefined) {
      const found = Object.entries(person.orgs).find(([name]) => name.toLowerCase() === org.toLowerCase())
      if (!found) return send(404, { message: 'Not Found' })
      return send(200, { state: found[1].state, organization: { login: found[0] } })
    }
    const teams = Object.entries(person.orgs).flatMap(([login, { teams }]) =>
      teams.map((slug) => ({ slug, name: slug.toUpperCase(), organization: { login } })),
    )
    const [page, size] = [Number(searchParams.get('page')), Number(searchParams.get('per_page'))]
    if (pathname === '/api/v3/user/teams') return send(200, teams.slice((page - 1) * size, page * size))
    return send(404, {})
  }

  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    hub,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    /** What the browser brings back from GitHub's page. */
    agree(location: string): string {
      const { searchParams } = new URL(location)
      const code = randomBytes(8).toString('hex')
      const back = searchParams.get('redirect_uri')!
      codes.set(code, { challenge: searchParams.get('code_challenge')!, redirectUri: back })
      return `${new URL(back).pathname}?${new URLSearchParams({ code, state: searchParams.get('state')! }).toString()}`
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const ada: Person = {
  id: 42,
  login: 'ada',
  orgs: { Acme: { state: 'active', teams: ['platform', 'web'] }, Other: { state: 'active', teams: ['x'] } },
}

async function openBed(github: object = {}) {
  await using stack = new AsyncDisposableStack()
  const server = stack.use(await openTestServer())
  const provider = stack.use(await openGitHub())
  const { client } = server
  await client.create({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'hub' },
    stringData: { secret },
  })
  await client.create({
    apiVersion: core,
    kind: 'IdentityProvider',
    metadata: { name: 'hub' },
    spec: {
      name: 'The hub',
      github: {
        clientID: 'app',
        clientSecretRef: { name: 'hub', key: 'secret' },
        requiredOrgs: [{ name: 'acme' }],
        baseURL: provider.url,
        ...github,
      },
    },
  })
  await client.create({
    apiVersion: core,
    kind: 'OIDCClient',
    metadata: { name: 'cli' },
    spec: {
      native: {},
      identityProvider: 'hub',
      clientID: 'cli',
      redirectUrls: ['http://127.0.0.1/callback'],
    },
  })
  provider.hub.person = ada
  // Written is not yet read: requests are answered from a cache that follows.
  while (!(await server.ask('GET', '/login')).body.includes(issuerPath));
  const owned = stack.move()
  const verifier = randomBytes(32).toString('base64url')
  const wish = {
    client_id: 'cli',
    redirect_uri: redirectUri,
    response_type: 'code',
    scope: 'openid',
    state: 'my state',
    nonce: 'my nonce',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  }
  const get = (path: string, headers: Record<string, string> = {}) =>
    server.ask('GET', path, { authorization: null, headers })

  /** The beginning of a login, as a program opens it in a browser. */
  const begin = (change: object = {}) =>
    get(`${issuerPath}/authorize?${new URLSearchParams({ ...wish, ...change }).toString()}`)
  const redeem = (code: string, change: object = {}) =>
    server.ask('POST', `${issuerPath}/token`, {
      authorization: null,
      contentType: 'application/x-www-form-urlencoded',
      body: new URLSearchParams({
        grant_type: 'authorization_code',
        code,
        code_verifier: verifier,
        redirect_uri: redirectUri,
        client_id: 'cli',
        ...change,
      }).toString(),
    })
  /** Where a browser is sent that comes from GitHub, after a whole login. */
  async function finish(): Promise<URL> {
    const begun = await begin()
    const ended = await get(provider.agree(locationOf(begun)), { cookie: cookieOf(begun) })
    assert.equal(ended.status, 302, ended.body)
    return new URL(locationOf(ended))
  }
  const codeOf = async () => (await finish()).searchParams.get('code')!
  return {
    server,
    provider,
    begin,
    finish,
    codeOf,
    redeem,
    get,
    async tokenOf(): Promise<string> {
      return (JSON.parse((await redeem(await codeOf())).body) as { id_token: string }).id_token
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

const locationOf = ({ headers }: Answer) => String(headers['location'])
const cookieOf = ({ headers }: Answer) => String(headers['set-cookie']).split(';', 1)[0]!

async function whoIs(server: TestServer, token: string) {
  const answer = await server.ask('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {
    body: { spec: { token } },
  })
  return (
    JSON.parse(answer.body) as { status: { user?: { username: string; uid: string; groups: string[] } } }
  ).status.user
}

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
    // The server lives in a time of its own.
    const skew = { [clockSkew]: Math.round((server.clock.now() - Date.now()) / 1000) }
    const configuration = await discovery(new URL(server.url + issuerPath), 'cli', skew, None(), {
      async [customFetch](url, { method, body, headers }) {
        const { status, body: answer } = await server.ask(method, url.slice(server.url.length), {
          authorization: null,
          ...(body !== undefined && {
            body: (body as URLSearchParams).toString(),
            contentType: headers['content-type']!,
          }),
        })
        return new Response(answer, { status, headers: { 'content-type': 'application/json' } })
      },
    })
    // With the published keys, as clients do that do not rely on TLS.
    enableNonRepudiationChecks(configuration)
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

  test('ends with the provider', async () => {
    await using bed = await openBed()
    const token = await bed.tokenOf()
    await bed.server.client.delete('IdentityProvider', 'hub')
    while ((await whoIs(bed.server, token)) !== undefined);
    assert.equal((await bed.begin()).status, 404)
  })
})
