import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { createSecretKey, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, it } from 'node:test'
import { fastify } from 'fastify'
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify, type JSONWebKeySet } from 'jose'
import { openTestClock, type TestClock } from '#base/clock'
import { isFault } from '#base/errors'
import { runTogether } from '#base/lifecycle'
import { silentLog } from '#base/log'
import { parseSpiffeId } from '#model/identity'
import { verifyJwt } from '#model/token'
import { openCustody } from '#server/keys'
import { openMemoryStore } from '#server/store'
import {
  issuerFiles,
  issuerRoutes,
  openTokenIssuer,
  type RunningTokenIssuer,
  type TokenIssuerSettings,
} from './index.ts'
import type { KeyPlace } from './signing-keys.ts'

const url = 'https://issuer.example/oidc'
const subject = parseSpiffeId('spiffe://example.org/app')
const audience = 'sts.amazonaws.com'
const hour = 3_600_000
const noPython = spawnSync('python3', ['--version']).error !== undefined && 'python3 is not installed'

async function openSetup(clock: TestClock = openTestClock()) {
  const store = openMemoryStore()
  const custody = await openCustody(store, createSecretKey(randomBytes(32)))
  const open = (settings: Partial<TokenIssuerSettings> = {}) =>
    openTokenIssuer({ store, custody, clock, log: silentLog, settings: { url, ...settings } })
  return { clock, store, custody, place: { store, custody }, open }
}

const mint = (issuer: Awaited<ReturnType<Awaited<ReturnType<typeof openSetup>>['open']>>, ttlSeconds = 300) =>
  issuer.mint({ subject, audience, ttlSeconds })
const run = (issuer: RunningTokenIssuer, place: KeyPlace, signal: AbortSignal) =>
  runTogether(signal, [
    (options) => issuer.follow(options),
    (options) => issuer.keepSchedule({ ...options, ...place }),
  ])
const kidOf = (token: string) => decodeProtectedHeader(token).kid

describe('the token issuer', () => {
  it('signs at once with its first key, and with the same one after a restart', async () => {
    const { open, clock } = await openSetup()
    const token = await mint(await open())
    const reopened = await open()
    assert.equal(kidOf(await mint(reopened)), kidOf(token))
    const keys = reopened.jwks() as unknown as JSONWebKeySet
    assert.equal((await verifyJwt(token, { keys, issuer: url, audience, at: clock.now() })).sub, subject)
  })

  it('publishes a key first, signs with it later, and drops the old one after its last token', async () => {
    const { open, clock, place } = await openSetup()
    const issuer = await open({ publishAheadSeconds: 3600, maxTokenTtlSeconds: 600 })
    const states = () => issuer.keys().map(({ state }) => state)
    const first = kidOf(await mint(issuer))
    const rotated = await issuer.rotate()
    assert.deepEqual(states(), ['active', 'published'])
    assert.equal(rotated.since, clock.now() + hour)
    assert.equal((await issuer.rotate()).kid, rotated.kid, 'a key that waits is not overtaken')

    const stop = new AbortController()
    const running = run(issuer, place, stop.signal)
    await clock.advance(hour - 1)
    assert.equal(kidOf(await mint(issuer)), first)
    await clock.advance(1)
    assert.equal(kidOf(await mint(issuer)), rotated.kid)
    assert.deepEqual(states(), ['active', 'retiring'])
    assert.equal(issuer.jwks().keys[0]?.['kid'], rotated.kid, 'the active key comes first')
    await clock.advance(599_000)
    assert.deepEqual(states(), ['active', 'retiring'])
    await clock.advance(hour)
    assert.deepEqual(states(), ['active'])
    stop.abort()
    await running
  })

  it('rotates on schedule, so that each token verifies against the JWKS of its whole life', async () => {
    const { open, clock, custody, place } = await openSetup()
    const settings = {
      publishAheadSeconds: 4 * 3600,
      rotateEverySeconds: 24 * 3600,
      maxTokenTtlSeconds: 3600,
    }
    const issuer = await open(settings)
    const stop = new AbortController()
    const running = run(issuer, place, stop.signal)
    const kids = new Set<string | undefined>()
    for (let passed = 0; passed < 5 * 24; passed++) {
      const token = await mint(issuer, 3600)
      kids.add(kidOf(token))
      // Armed again: a key that was due has been made by then.
      await clock.untilArmed()
      await clock.advance(hour - 1)
      const keys = issuer.jwks() as unknown as JSONWebKeySet
      await verifyJwt(token, { keys, issuer: url, audience, at: clock.now() - 1000 })
      await clock.advance(1)
    }
    assert.ok(kids.size >= 4, `${kids.size} keys signed`)
    stop.abort()
    await running
    assert.ok((await custody.names('issuer/')).length <= 3, 'old private keys are removed')
  })

  it('keeps signing when the clock was set back, and rotates at once where no lead is wanted', async () => {
    const start = openTestClock()
    const { store, custody, open } = await openSetup(start)
    const first = kidOf(await mint(await open()))
    const earlier = openTestClock(start.now() - hour)
    const settings = { url, publishAheadSeconds: 0 }
    const issuer = await openTokenIssuer({ store, custody, clock: earlier, log: silentLog, settings })
    assert.equal(kidOf(await mint(issuer)), first)
    await earlier.advance(2 * hour)
    const { kid, state } = await issuer.rotate()
    assert.equal(state, 'active')
    assert.equal(kidOf(await mint(issuer)), kid)
    assert.notEqual(kid, first)
  })

  it('is followed by other servers on the same store', async () => {
    const { open, clock, place } = await openSetup()
    const [one, two] = [await open({ publishAheadSeconds: 60 }), await open({ publishAheadSeconds: 60 })]
    assert.equal(one.keys()[0]?.kid, two.keys()[0]?.kid)
    const stop = new AbortController()
    const running = run(two, place, stop.signal)
    await clock.untilArmed()
    const { kid } = await one.rotate()
    await clock.advance(60_000)
    assert.equal(kidOf(await mint(two)), kid)
    assert.equal(kidOf(await mint(one)), kid)
    stop.abort()
    await running
  })

  it('has one first key even when many servers start at once', async () => {
    const { open } = await openSetup()
    const issuers = await Promise.all(Array.from({ length: 4 }, () => open()))
    assert.deepEqual(
      new Set(
        issuers.map((issuer) =>
          issuer
            .keys()
            .map(({ kid }) => kid)
            .join(),
        ),
      ).size,
      1,
    )
  })

  it('refuses tokens that live too long and settings that cannot hold', async () => {
    const { open } = await openSetup()
    const issuer = await open({ maxTokenTtlSeconds: 600 })
    await assert.rejects(mint(issuer, 601), (error) => isFault(error, 'TOKEN_INVALID'))
    for (const settings of [
      { url: 'issuer.example' },
      { url: 'https://issuer.example/oidc?x' },
      { publishAheadSeconds: 10, rotateEverySeconds: 10 },
    ]) {
      await assert.rejects(open(settings), (error) => isFault(error, 'SETTING_INVALID'))
    }
    assert.equal((await open({ url: `${url}/` })).url, url)
  })
})

describe('the published documents', () => {
  it('are served to anyone under /oidc, and verify what was minted', async () => {
    // A token must be valid now: jose's remote set reads the system's clock.
    const { open } = await openSetup(openTestClock(Date.now()))
    const app = fastify()
    const server = createServer((request, response) => app.routing(request, response)).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const issuer = await open({ url: `http://127.0.0.1:${port}/oidc` })
    await app.register(issuerRoutes(issuer))
    await app.ready()
    try {
      const response = await fetch(`${issuer.url}/.well-known/openid-configuration`)
      assert.equal(response.status, 200)
      assert.match(response.headers.get('content-type') ?? '', /^application\/json/)
      assert.equal(response.headers.get('cache-control'), 'public, max-age=300')
      const discovery = (await response.json()) as { issuer: string; jwks_uri: string }
      assert.equal(discovery.issuer, issuer.url)
      const remote = createRemoteJWKSet(new URL(discovery.jwks_uri))
      const { payload } = await jwtVerify(await mint(issuer), remote, { issuer: issuer.url, audience })
      assert.equal(payload.sub, subject)
    } finally {
      server.close()
      await app.close()
    }
  })

  it(
    'verify a token with nothing but the arithmetic of RSA in another language',
    { skip: noPython },
    async () => {
      const { open } = await openSetup()
      const issuer = await open()
      const program = `
import base64, hashlib, json, sys
token, jwks = json.load(sys.stdin)
number = lambda text: int.from_bytes(raw(text), 'big')
raw = lambda text: base64.urlsafe_b64decode(text + '=' * (-len(text) % 4))
head, body, signature = token.split('.')
kid = json.loads(raw(head))['kid']
key = next(key for key in jwks['keys'] if key['kid'] == kid)
block = pow(number(signature), number(key['e']), number(key['n'])).to_bytes(256, 'big')
digest = hashlib.sha256(f'{head}.{body}'.encode()).digest()
prefix = bytes.fromhex('3031300d060960864801650304020105000420')
assert block == b'\\0\\1' + b'\\xff' * (253 - len(prefix + digest)) + b'\\0' + prefix + digest
assert base64.b64decode(key['x5c'][0], validate=True)[:1] == b'\\x30'
print(json.loads(raw(body))['sub'])
`
      const input = JSON.stringify([await mint(issuer), issuer.jwks()])
      assert.equal(execFileSync('python3', ['-c', program], { input }).toString().trim(), subject)
    },
  )

  it('can be published as files that say the same', async () => {
    const { open } = await openSetup()
    const issuer = await open()
    const files = new Map(
      issuerFiles(issuer).map(({ path, content }) => [path, JSON.parse(content) as unknown]),
    )
    assert.deepEqual(files.get('.well-known/openid-configuration'), issuer.discovery())
    assert.deepEqual(files.get('jwks'), issuer.jwks())
    assert.equal(issuer.discovery()['jwks_uri'], `${url}/jwks`)
  })
})
