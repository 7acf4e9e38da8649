import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exportJWK, generateKeyPair, SignJWT, type JWK } from 'jose'
import { openTestClock } from '#base/clock'
import { isFault } from '#base/errors'
import type { HttpClient } from '#server/exchange'
import { openIdTokenVerifier } from './id-token-verifier.ts'

const issuer = 'https://login.example.org'
const clock = openTestClock()
const trust = {
  issuer,
  audiences: ['tideway'],
  usernameClaim: 'sub',
  usernamePrefix: '',
  groupsPrefix: '',
  requiredClaims: {},
  signingAlgorithms: ['ES256'],
}

/** A provider that answers from memory: documents by URL; what is not there does not answer. */
function openFakeProvider() {
  const documents = new Map<string, object>()
  const asked: string[] = []
  const http: HttpClient = {
    async request(url) {
      asked.push(url.href)
      const document = documents.get(url.href)
      if (!document) throw new Error('connection refused')
      const body = Buffer.from(JSON.stringify(document))
      return { status: 200, headers: { 'content-type': 'application/json' }, body }
    },
  }
  const announce = (jwksUri = `${issuer}/keys`) =>
    documents.set(`${issuer}/.well-known/openid-configuration`, { issuer, jwks_uri: jwksUri })
  return { documents, asked, http, announce }
}

async function makeKey(kid: string) {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true })
  const at = Math.floor(clock.now() / 1000)
  const claims = { iss: issuer, sub: 'ada', aud: 'tideway', iat: at, exp: at + 3600 }
  const token = await new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid }).sign(privateKey)
  return { token, jwk: { ...(await exportJWK(publicKey)), kid } as JWK }
}

test('a key that is published later is found, and one that is taken back is not accepted any more', async () => {
  const { documents, http, announce } = openFakeProvider()
  announce()
  const [first, second] = [await makeKey('one'), await makeKey('two')]
  documents.set(`${issuer}/keys`, { keys: [first.jwk] })
  const verifier = openIdTokenVerifier(trust, { http, clock, cooldownMs: 0 })
  assert.equal((await verifier.verify(first.token)).sub, 'ada')
  await assert.rejects(verifier.verify(second.token))
  documents.set(`${issuer}/keys`, { keys: [second.jwk] })
  assert.equal((await verifier.verify(second.token)).sub, 'ada')
  await assert.rejects(verifier.verify(first.token))
})

test('a provider that does not answer is asked again after a while, not for each token', async () => {
  const { documents, asked, http, announce } = openFakeProvider()
  const { token, jwk } = await makeKey('one')
  const verifier = openIdTokenVerifier(trust, { http, clock })
  for (let count = 0; count < 5; count++) await assert.rejects(verifier.verify(token))
  assert.equal(asked.length, 1)
  announce()
  documents.set(`${issuer}/keys`, { keys: [jwk] })
  await assert.rejects(verifier.verify(token))
  await clock.advance(10_000)
  assert.equal((await verifier.verify(token)).sub, 'ada')
})

test('a look at the provider says that it is away, and at once that it is back; what is known is used meanwhile', async () => {
  const { documents, http, announce } = openFakeProvider()
  announce()
  const { token, jwk } = await makeKey('one')
  documents.set(`${issuer}/keys`, { keys: [jwk] })
  const verifier = openIdTokenVerifier(trust, { http, clock })
  await verifier.probe()
  assert.equal((await verifier.verify(token)).sub, 'ada')
  documents.delete(`${issuer}/.well-known/openid-configuration`)
  await assert.rejects(verifier.probe())
  assert.equal((await verifier.verify(token)).sub, 'ada')
  announce()
  await verifier.probe()
  assert.equal((await verifier.verify(token)).sub, 'ada')
})

test('a look finds keys that are away, and has them remembered where it finds them', async () => {
  const { documents, http, announce } = openFakeProvider()
  announce()
  const { token, jwk } = await makeKey('one')
  const verifier = openIdTokenVerifier(trust, { http, clock })
  await assert.rejects(verifier.probe(), /connection refused/)
  documents.set(`${issuer}/keys`, { keys: [jwk] })
  await verifier.probe()
  documents.clear()
  assert.equal((await verifier.verify(token)).sub, 'ada')
})

test('a token that meets with a provider which is away tells of it, once, until a look has found it there', async () => {
  const { documents, http, announce } = openFakeProvider()
  const { token, jwk } = await makeKey('one')
  let told = 0
  const verifier = openIdTokenVerifier(trust, { http, clock, onUnreachable: () => told++ })
  const meets = async () => {
    await clock.advance(10_000)
    await assert.rejects(verifier.verify(token))
  }
  await meets()
  await meets()
  await assert.rejects(verifier.probe())
  await meets()
  assert.equal(told, 1)
  announce()
  documents.set(`${issuer}/keys`, { keys: [jwk] })
  await verifier.probe()
  documents.clear()
  await clock.advance(3_600_000)
  await meets()
  assert.equal(told, 2)
})

test('a provider that was away is asked again in time, though the clock was set back', async () => {
  const { documents, http, announce } = openFakeProvider()
  const { token, jwk } = await makeKey('one')
  const time = openTestClock()
  const verifier = openIdTokenVerifier(trust, { http, clock: time })
  await assert.rejects(verifier.verify(token))
  announce()
  documents.set(`${issuer}/keys`, { keys: [jwk] })
  await time.set(-60_000)
  await time.advance(60_000)
  assert.equal((await verifier.verify(token)).sub, 'ada')
})

test('keys are never fetched in the clear from a provider that is on https', async () => {
  for (const uri of [
    'http://login.example.org/keys',
    'http://127.0.0.1/keys',
    'file:///etc/passwd',
    'nowhere',
  ]) {
    const { documents, asked, http, announce } = openFakeProvider()
    announce(uri)
    const { token, jwk } = await makeKey('one')
    documents.set(uri, { keys: [jwk] })
    const verifier = openIdTokenVerifier(trust, { http, clock })
    await assert.rejects(verifier.verify(token), (error) => isFault(error, 'EXCHANGE_FAILED'), uri)
    assert.ok(!asked.includes(uri))
  }
})
