import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { before, describe, it } from 'node:test'
import { decodeJwt, decodeProtectedHeader, SignJWT, type JSONWebKeySet } from 'jose'
import { isFault } from '#base/errors'
import { parseSpiffeId } from '#model/identity'
import { createSelfSignedCertificate } from '#model/pki'
import { keyId, publicJwk, signJwtSvid, verifyJwt, type JwtSvid, type SigningKey } from './index.ts'

const at = 1_767_225_600_500
const issuer = 'https://issuer.example/oidc'
const svid: JwtSvid = {
  issuer,
  subject: parseSpiffeId('spiffe://example.org/my-app/workload'),
  audience: 'sts.amazonaws.com',
  issuedAt: at,
  ttlSeconds: 300,
  id: 'one',
}

async function makeKey() {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const certificate = createSelfSignedCertificate(privateKey, {
    commonName: 'issuer',
    serial: randomBytes(16),
    notBefore: at,
    notAfter: at + 1000,
  })
  const kid = await keyId(publicKey)
  return { signing: { kid, privateKey } satisfies SigningKey, jwk: publicJwk(kid, certificate), certificate }
}

describe('JWT-SVID', () => {
  let key: Awaited<ReturnType<typeof makeKey>>
  let keys: JSONWebKeySet
  before(async () => {
    key = await makeKey()
    keys = { keys: [key.jwk] }
  })
  const refused = (token: string, audience = svid.audience, when = at) =>
    assert.rejects(verifyJwt(token, { keys, issuer, audience, at: when }), (error) =>
      isFault(error, 'TOKEN_INVALID'),
    )

  it('holds exactly the claims of the profile', async () => {
    const token = await signJwtSvid(key.signing, { ...svid, claims: { team: 'blue' } })
    assert.deepEqual(decodeProtectedHeader(token), { alg: 'RS256', kid: key.jwk.kid, typ: 'JWT' })
    assert.deepEqual(decodeJwt(token), {
      team: 'blue',
      iss: issuer,
      sub: svid.subject,
      aud: 'sts.amazonaws.com',
      iat: 1_767_225_600,
      nbf: 1_767_225_600,
      exp: 1_767_225_900,
      jti: 'one',
    })
    assert.equal(
      (await verifyJwt(token, { keys, issuer, audience: svid.audience, at })).sub,
      'spiffe://example.org/my-app/workload',
    )
  })

  it('refuses to set a registered claim for somebody else', async () => {
    for (const claim of ['sub', 'aud', 'iss', 'exp', 'nbf', 'iat', 'jti']) {
      await assert.rejects(signJwtSvid(key.signing, { ...svid, claims: { [claim]: 'x' } }), (error) =>
        isFault(error, 'TOKEN_INVALID'),
      )
    }
  })

  it('is refused for another audience, too early, too late, altered or under another key', async () => {
    const token = await signJwtSvid(key.signing, svid)
    await refused(token, 'other')
    await refused(token, svid.audience, at - 1000)
    await refused(token, svid.audience, at + 300_000)
    const [header, payload, signature] = token.split('.')
    const other = Buffer.from(JSON.stringify({ ...decodeJwt(token), sub: 'spiffe://example.org/admin' }))
    assert.ok(payload)
    await refused(`${header}.${other.toString('base64url')}.${signature}`)
    const stranger = await makeKey()
    await refused(await signJwtSvid({ ...stranger.signing, kid: key.jwk.kid }, svid))
    await refused(await signJwtSvid(stranger.signing, svid))
  })

  it('is refused under a symmetric algorithm keyed with the public key', async () => {
    const secret = Buffer.from(key.certificate.publicKey.export({ type: 'spki', format: 'pem' }))
    const forged = await new SignJWT({ ...decodeJwt(await signJwtSvid(key.signing, svid)) })
      .setProtectedHeader({ alg: 'HS256', kid: key.jwk.kid })
      .sign(secret)
    await refused(forged)
  })

  it('publishes a key without key_ops, with x5c in standard base64 of one certificate', () => {
    assert.deepEqual(Object.keys(key.jwk).sort(), ['alg', 'e', 'kid', 'kty', 'n', 'use', 'x5c'])
    assert.equal(key.jwk.x5c[0], key.certificate.raw.toString('base64'))
    assert.match(key.jwk.kid, /^[A-Za-z0-9_-]{43}$/)
  })
})
