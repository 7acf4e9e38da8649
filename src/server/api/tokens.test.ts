import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { describe, test } from 'node:test'
import { base64url, decodeJwt, exportJWK, exportSPKI, generateKeyPair, SignJWT, type JWK } from 'jose'
import { core } from './test-objects.ts'
import { openTestServer, unguarded, type TestServer } from './test-server.ts'

const home = 'riptides-system'
const whoami = '/apis/authentication.k8s.io/v1/selfsubjectreviews'

/** Who the server takes the bearer of a token for; undefined when it is not accepted. */
async function bearer(server: TestServer, token: string): Promise<string | undefined> {
  const { status, body } = await server.ask('POST', whoami, { authorization: `Bearer ${token}`, body: {} })
  // Known but without any right is as good an answer here: the refusal names the user.
  if (status === 403) return /User "([^"]+)"/.exec((JSON.parse(body) as { message: string }).message)?.[1]
  assert.equal(status, 401)
  return undefined
}

describe('tokens of service accounts', () => {
  const path = (name: string) => `/api/v1/namespaces/${home}/serviceaccounts/${name}/token`
  const robot = `system:serviceaccount:${home}:robot`

  async function request(server: TestServer, spec?: object) {
    const answer = await server.ask('POST', path('robot'), { body: spec === undefined ? {} : { spec } })
    return {
      ...answer,
      json: JSON.parse(answer.body) as {
        spec: { audiences: string[]; expirationSeconds: number }
        status: { token: string; expirationTimestamp: string }
      },
    }
  }
  const create = (server: TestServer) =>
    server.client.create({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'robot' } })

  test('last for as long as was asked for, an hour otherwise, and a month at most', async () => {
    await using server = await openTestServer()
    const { metadata } = await create(server)
    const { status, json } = await request(server)
    assert.equal(status, 201)
    assert.deepEqual(json.spec, { audiences: ['tideway'], expirationSeconds: 3600 })
    const { token, expirationTimestamp } = json.status
    assert.equal(Date.parse(expirationTimestamp), server.clock.now() + 3_600_000)
    const { sub, 'kubernetes.io': account } = decodeJwt(token)
    assert.equal(sub, robot)
    assert.deepEqual(account, { namespace: home, serviceaccount: { name: 'robot', uid: metadata.uid } })
    assert.equal(await bearer(server, token), robot)

    // As clients in Go write what they leave out.
    const unset = await request(server, { audiences: null, expirationSeconds: null, boundObjectRef: null })
    assert.deepEqual(unset.json.spec, json.spec)

    const long = await request(server, { expirationSeconds: 10 ** 9 })
    assert.equal(long.json.spec.expirationSeconds, 30 * 86_400)
    assert.match(String(long.headers['warning']), /shortened to 2592000 seconds/)
    assert.equal((await request(server, { expirationSeconds: 60 })).status, 422)
    assert.equal((await request(server, { boundObjectRef: { kind: 'Pod' } })).status, 422)
    assert.equal((await server.ask('POST', path('nobody'), { body: {} })).status, 404)

    await server.clock.advance(3_600_000)
    assert.equal(await bearer(server, token), undefined)
    assert.equal(await bearer(server, long.json.status.token), robot)
  })

  test('end with their account, and are not those of another one of its name', async () => {
    await using server = await openTestServer()
    await create(server)
    const { token } = (await request(server)).json.status
    await server.client.delete('ServiceAccount', 'robot')
    assert.equal(await bearer(server, token), undefined)
    await create(server)
    assert.equal(await bearer(server, token), undefined)
    assert.equal(await bearer(server, (await request(server)).json.status.token), robot)
  })

  test('for another audience, altered, unsigned, or signed by somebody else are not accepted', async () => {
    await using server = await openTestServer()
    await create(server)
    const elsewhere = (await request(server, { audiences: ['sts.amazonaws.com'] })).json.status.token
    assert.equal(await bearer(server, elsewhere), undefined)
    const { token } = (await request(server, { audiences: ['vault', 'tideway'] })).json.status
    assert.equal(await bearer(server, token), robot)
    const claims = decodeJwt(token)
    const [header, , signature] = token.split('.')
    const greater = base64url.encode(JSON.stringify({ ...claims, sub: 'system:admin' }))
    const unsigned = base64url.encode(JSON.stringify({ alg: 'none', typ: 'JWT' }))
    const { privateKey } = await generateKeyPair('ES256')
    const forged = await new SignJWT(claims).setProtectedHeader({ alg: 'ES256', typ: 'JWT' }).sign(privateKey)
    for (const attempt of [
      `${header}.${greater}.${signature}`,
      `${unsigned}.${token.split('.')[1]}.`,
      `${unsigned}.${token.split('.')[1]}.${signature}`,
      forged,
      'tdw_guess',
      'a.b.c',
    ]) {
      assert.equal(await bearer(server, attempt), undefined)
    }
  })

  test('are in the audit trail when they are made, and never themselves', async () => {
    await using server = await openTestServer()
    await create(server)
    const { token } = (await request(server)).json.status
    const trail = JSON.stringify(await server.auditTrail())
    assert.match(trail, /"object":"ServiceAccount\/robot\/token"/)
    assert.ok(!trail.includes(token.split('.')[2]!))
  })
})

describe('ID tokens of external providers', () => {
  /** A provider on loopback, whose keys and answers a test can change. */
  async function openProvider(kid = 'one') {
    const keys: { published: JWK[]; fetched: number; issuer?: string } = { published: [], fetched: 0 }
    const server = createServer(({ url }, response) => {
      const issuer = keys.issuer ?? origin
      if (url === '/keys') keys.fetched++
      response.setHeader('content-type', 'application/json')
      const documents: Record<string, object> = {
        '/.well-known/openid-configuration': {
          issuer,
          jwks_uri: `${origin}/keys`,
          authorization_endpoint: `${origin}/auth`,
          token_endpoint: `${origin}/token`,
          response_types_supported: ['code'],
          subject_types_supported: ['public'],
          id_token_signing_alg_values_supported: ['RS256'],
        },
        '/keys': { keys: keys.published },
      }
      const document = documents[url ?? '']
      response.writeHead(document ? 200 : 404).end(JSON.stringify(document ?? {}))
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

    async function addKey(name: string) {
      const pair = await generateKeyPair('RS256', { extractable: true })
      const jwk = { ...(await exportJWK(pair.publicKey)), kid: name, alg: 'RS256', use: 'sig' }
      keys.published.push(jwk)
      const sign = (claims: object, header: object = {}) =>
        new SignJWT(claims as Record<string, unknown>)
          .setProtectedHeader({ alg: 'RS256', kid: name, typ: 'JWT', ...header })
          .sign(pair.privateKey)
      return { ...pair, sign }
    }
    return {
      origin,
      keys,
      addKey,
      first: await addKey(kid),
      async [Symbol.asyncDispose]() {
        server.closeAllConnections()
        await new Promise((resolve) => server.close(resolve))
      },
    }
  }

  type Provider = Awaited<ReturnType<typeof openProvider>>

  const trust = (server: TestServer, { origin }: Provider, name = 'corp', oidc: object = {}) =>
    server.client.create({
      apiVersion: core,
      kind: 'IdentityProvider',
      metadata: { name },
      spec: { name, oidc: { issuer: origin, audiences: ['tideway'], ...oidc } },
    })

  const claimsOf = (server: TestServer, { origin }: Provider, over: object = {}) => {
    const at = Math.floor(server.clock.now() / 1000)
    return { iss: origin, sub: 'ada', aud: 'tideway', iat: at, exp: at + 300, ...over }
  }

  /** Asks until the provider that was made a moment ago is known. */
  async function untilKnown(server: TestServer, token: string, name: string) {
    while ((await bearer(server, token)) !== name);
  }

  test('are accepted with the name that the provider gives, for as long as they last', async () => {
    await using provider = await openProvider()
    await using server = await openTestServer()
    const token = await provider.first.sign(claimsOf(server, provider))
    assert.equal(await bearer(server, token), undefined)
    await trust(server, provider)
    await untilKnown(server, token, 'corp:ada')
    await server.clock.advance(300_000 + 29_000)
    assert.equal(await bearer(server, token), 'corp:ada')
    await server.clock.advance(2000)
    assert.equal(await bearer(server, token), undefined)
  })

  test('are refused when anything about them is not as it must be', async () => {
    await using provider = await openProvider()
    await using server = await openTestServer()
    await trust(server, provider, 'corp', { requiredClaims: { hd: 'example.org' } })
    const good = claimsOf(server, provider, { hd: 'example.org' })
    await untilKnown(server, await provider.first.sign(good), 'corp:ada')
    const at = good.iat
    const claims: Record<string, object> = {
      'wrong audience': { ...good, aud: 'other' },
      'no audience': { ...good, aud: undefined },
      'several audiences and no azp': { ...good, aud: ['tideway', 'other'] },
      'issued to another party': { ...good, azp: 'other' },
      'azp that is no text': { ...good, azp: ['tideway'] },
      expired: { ...good, exp: at - 31 },
      'no end': { ...good, exp: undefined },
      'not yet': { ...good, nbf: at + 60 },
      'no subject': { ...good, sub: undefined },
      'another issuer': { ...good, iss: 'https://login.example.org' },
      'our own issuer': { ...good, iss: 'tideway/serviceaccount' },
      'a claim that is required': { ...good, hd: 'example.com' },
    }
    for (const [title, payload] of Object.entries(claims)) {
      assert.equal(await bearer(server, await provider.first.sign(payload)), undefined, title)
    }
    const both = { ...good, aud: ['tideway', 'other'], azp: 'tideway' }
    assert.equal(await bearer(server, await provider.first.sign(both)), 'corp:ada')
    for (const typ of ['at+jwt', 'logout+jwt', 'secevent+jwt']) {
      assert.equal(await bearer(server, await provider.first.sign(good, { typ })), undefined, typ)
    }
  })

  test('unsigned, or signed symmetrically with the public key, are refused', async () => {
    await using provider = await openProvider()
    await using server = await openTestServer()
    await trust(server, provider)
    const claims = claimsOf(server, provider)
    const token = await provider.first.sign(claims)
    await untilKnown(server, token, 'corp:ada')
    const encode = (value: object) => base64url.encode(JSON.stringify(value))
    const none = `${encode({ alg: 'none', kid: 'one' })}.${encode(claims)}.`
    assert.equal(await bearer(server, none), undefined)
    assert.equal(await bearer(server, none + token.split('.')[2]!), undefined)
    const pem = new TextEncoder().encode(await exportSPKI(provider.first.publicKey))
    const modulus = base64url.decode(provider.keys.published[0]!.n!)
    for (const secret of [pem, modulus]) {
      const forged = await new SignJWT(claims).setProtectedHeader({ alg: 'HS256', kid: 'one' }).sign(secret)
      assert.equal(await bearer(server, forged), undefined)
    }
  })

  test('of another provider with a key of the same name are its own only', async () => {
    await using first = await openProvider('same')
    await using second = await openProvider('same')
    await using server = await openTestServer()
    await trust(server, first, 'first')
    await trust(server, second, 'second')
    await untilKnown(server, await first.first.sign(claimsOf(server, first)), 'first:ada')
    await untilKnown(server, await second.first.sign(claimsOf(server, second)), 'second:ada')
    assert.equal(await bearer(server, await second.first.sign(claimsOf(server, first))), undefined)
    assert.equal(await bearer(server, await first.first.sign(claimsOf(server, second))), undefined)
    const shared = trust(server, first, 'third', { usernamePrefix: 'second:' })
    await assert.rejects(
      shared,
      /IdentityProvider second has the usernamePrefix "second:", and this one "second:"/,
    )
  })

  test('of a provider that could name the users of an older one are accepted once that is gone', async () => {
    await using first = await openProvider()
    await using second = await openProvider()
    await using server = await openTestServer()
    await trust(server, first)
    for (const usernamePrefix of ['', 'cor', 'corp:admin']) {
      const refused = trust(server, second, 'other', { usernamePrefix })
      await assert.rejects(refused, /users of one could pass for users of the other/)
    }
    // As two that are created at the same moment.
    const oidc = { issuer: second.origin, audiences: ['tideway'], usernamePrefix: 'corp:a' }
    await unguarded(server).create({
      apiVersion: core,
      kind: 'IdentityProvider',
      metadata: { name: 'other' },
      spec: { name: 'other', oidc },
    })
    // By the time that one more is known, so is that.
    await trust(server, first, 'later', { audiences: ['later'] })
    await untilKnown(server, await first.first.sign(claimsOf(server, first, { aud: 'later' })), 'later:ada')
    const token = await second.first.sign(claimsOf(server, second))
    assert.equal(await bearer(server, token), undefined)
    await untilKnown(server, await first.first.sign(claimsOf(server, first)), 'corp:ada')
    await server.client.delete('IdentityProvider', 'corp')
    await untilKnown(server, token, 'corp:aada')
  })

  test('never carry a name or a group of the server itself', async () => {
    await using provider = await openProvider()
    await using server = await openTestServer()
    await trust(server, provider, 'corp', { usernamePrefix: '', groupsPrefix: '', groupsClaim: 'groups' })
    const sign = (over: object) => provider.first.sign(claimsOf(server, provider, over))
    await untilKnown(server, await sign({}), 'ada')
    assert.equal(await bearer(server, await sign({ sub: 'system:admin' })), undefined)
    assert.equal(await bearer(server, await sign({ sub: 'system:serviceaccount:a:b' })), undefined)
    assert.equal(await bearer(server, await sign({ groups: ['system:masters'] })), 'ada')
    await assert.rejects(trust(server, provider, 'other', { usernamePrefix: 'system:' }), /the server's own/)
  })

  test('with keys that nobody knows do not make us ask for keys at will', async () => {
    await using provider = await openProvider()
    await using server = await openTestServer()
    await trust(server, provider)
    const claims = claimsOf(server, provider)
    await untilKnown(server, await provider.first.sign(claims), 'corp:ada')
    const { fetched } = provider.keys
    for (let count = 0; count < 20; count++) {
      assert.equal(
        await bearer(server, await provider.first.sign(claims, { kid: `guess-${count}` })),
        undefined,
      )
    }
    assert.ok(provider.keys.fetched - fetched <= 1)
  })

  test('of a provider that calls itself by another name, or is gone, are not accepted', async () => {
    await using provider = await openProvider()
    await using server = await openTestServer()
    await trust(server, provider)
    const token = await provider.first.sign(claimsOf(server, provider))
    await untilKnown(server, token, 'corp:ada')
    await server.client.delete('IdentityProvider', 'corp')
    while ((await bearer(server, token)) !== undefined);
    provider.keys.issuer = 'http://127.0.0.1:1'
    await trust(server, provider)
    await trust(server, provider, 'after')
    assert.equal(await bearer(server, token), undefined)
  })

  test('need an issuer that can be trusted to be who it says', async () => {
    await using provider = await openProvider()
    await using server = await openTestServer()
    const issuers = [
      'http://login.example.org',
      'ftp://127.0.0.1',
      'https://a.example/?x',
      'login',
      'http://127.0.0.1.evil.example',
    ]
    for (const issuer of issuers) {
      await assert.rejects(trust(server, provider, 'corp', { issuer }), /must be an https:\/\/ URL/, issuer)
    }
    const elsewhere = server.client.create({
      apiVersion: core,
      kind: 'IdentityProvider',
      metadata: { name: 'corp', namespace: 'team' },
      spec: { name: 'corp', oidc: { issuer: provider.origin, audiences: ['tideway'] } },
    })
    await assert.rejects(elsewhere, /belong in riptides-system/)
  })
})
