import assert from 'node:assert/strict'
import { createHmac, generateKeyPairSync } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { exportJWK } from 'jose'
import { openTestClock, systemClock, type TestClock } from '#base/clock'
import {
  allow,
  assume,
  clientId,
  exchange,
  iam,
  openTestEmulator,
  prepare,
  trustPolicy,
  type TestEmulator,
} from './test-emulator.ts'

describe('AssumeRoleWithWebIdentity', () => {
  let clock: TestClock
  let emulator: TestEmulator
  before(async () => {
    clock = openTestClock(systemClock.now())
    emulator = await openTestEmulator({ clock })
    await prepare(emulator, allow('s3:*'))
  })
  after(() => emulator[Symbol.asyncDispose]())

  const refused = async (code: string, message: RegExp, parameters: Record<string, string>) => {
    const reply = await exchange(emulator, { WebIdentityToken: await emulator.issuer.mint(), ...parameters })
    assert.match(reply.text, new RegExp(`<Code>${code}</Code>`))
    assert.match(reply.text, message)
    assert.equal(reply.status, code === 'AccessDenied' ? 403 : 400)
  }
  const now = () => Math.floor(clock.now() / 1000)

  test('answers credentials and says for whom', async () => {
    const reply = await exchange(emulator, { WebIdentityToken: await emulator.issuer.mint() })
    assert.equal(reply.status, 200)
    for (const text of [
      '<AccessKeyId>ASIA',
      '<Arn>arn:aws:sts::123456789012:assumed-role/app/my-session</Arn>',
      '<SubjectFromWebIdentityToken>spiffe://example.org/my-app<',
      `<Provider>arn:aws:iam::123456789012:oidc-provider/${emulator.issuer.host}<`,
      `<Expiration>${new Date(clock.now() + 3_600_000).toISOString().slice(0, 19)}Z<`,
    ]) {
      assert.ok(reply.text.includes(text), text)
    }
    assert.equal(reply.headers['x-tideway-emulator'], 'not a real cloud')
  })

  test('tolerates five minutes between the clocks, and no more', async () => {
    for (const claims of [{ exp: now() - 299 }, { nbf: now() + 299 }, { iat: now() + 299 }]) {
      await assume(emulator, { WebIdentityToken: await emulator.issuer.mint(claims) })
    }
    await refused('ExpiredTokenException', /Token expired/, {
      WebIdentityToken: await emulator.issuer.mint({ exp: now() - 301 }),
    })
    await refused('InvalidIdentityToken', /not yet valid/, {
      WebIdentityToken: await emulator.issuer.mint({ nbf: now() + 302 }),
    })
    await refused('InvalidIdentityToken', /in the future/, {
      WebIdentityToken: await emulator.issuer.mint({ iat: now() + 302 }),
    })
  })

  test('a token with a minute left gives a session of an hour', async () => {
    await assume(emulator, { WebIdentityToken: await emulator.issuer.mint({ exp: now() + 60 }) })
  })

  test('requires iss, sub, aud, iat and exp', async () => {
    for (const name of ['iss', 'sub', 'aud', 'iat', 'exp']) {
      await refused('InvalidIdentityToken', /Missing a required claim/, {
        WebIdentityToken: await emulator.issuer.mint({ [name]: undefined }),
      })
    }
  })

  test('refuses another audience, and several without azp', async () => {
    await refused('InvalidIdentityToken', /Incorrect token audience/, {
      WebIdentityToken: await emulator.issuer.mint({ aud: 'someone-else' }),
    })
    await refused('InvalidIdentityToken', /needs the azp claim/, {
      WebIdentityToken: await emulator.issuer.mint({ aud: [clientId, 'other'] }),
    })
    await assume(emulator, {
      WebIdentityToken: await emulator.issuer.mint({ aud: [clientId, 'other'], azp: clientId }),
    })
  })

  test('refuses an issuer that is not registered', async () => {
    await refused(
      'InvalidIdentityToken',
      /No OpenIDConnect provider found in your account for https:\/\/evil/,
      {
        WebIdentityToken: await emulator.issuer.mint({ iss: 'https://evil.example/oidc' }),
      },
    )
    await refused('InvalidIdentityToken', /No OpenIDConnect provider/, {
      WebIdentityToken: await emulator.issuer.mint({ iss: emulator.issuer.url.replace('https', 'http') }),
    })
  })

  test('refuses a foreign signature, no kid, alg none and a public key used as HMAC secret', async () => {
    const other = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
    await refused('InvalidIdentityToken', /signature could not be verified/, {
      WebIdentityToken: await emulator.issuer.mint({}, { key: other }),
    })
    await refused('InvalidIdentityToken', /no kid/, {
      WebIdentityToken: await emulator.issuer.mint({}, { kid: '' }),
    })
    const [, payload = ''] = (await emulator.issuer.mint()).split('.')
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    await refused('InvalidIdentityToken', /Unsupported signature algorithm/, {
      WebIdentityToken: `${part({ alg: 'none', kid: 'key-1' })}.${payload}.`,
    })
    const input = `${part({ alg: 'HS256', kid: 'key-1' })}.${payload}`
    const mac = createHmac('sha256', JSON.stringify(emulator.issuer.documents.jwks.keys[0]))
    await refused('InvalidIdentityToken', /Unsupported signature algorithm/, {
      WebIdentityToken: `${input}.${mac.update(input).digest('base64url')}`,
    })
    await refused('InvalidIdentityToken', /not a valid JWT/, { WebIdentityToken: 'garbage' })
  })

  test('fetches the keys once for many tokens, and again for a new kid', async () => {
    await clock.advance(120_000)
    emulator.issuer.hits.length = 0
    await assume(emulator)
    await assume(emulator)
    assert.equal(emulator.issuer.hits.length, 2)
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const rotated = { kid: 'key-2', alg: 'ES256', key: privateKey }
    await refused('InvalidIdentityToken', /Couldn't retrieve verification key/, {
      WebIdentityToken: await emulator.issuer.mint({}, rotated),
    })
    emulator.issuer.documents.jwks.keys.push({ ...(await exportJWK(publicKey)), kid: 'key-2' })
    await assume(emulator, { WebIdentityToken: await emulator.issuer.mint({}, rotated) })
  })

  test('does not use a key with key_ops or for encryption', async () => {
    for (const [index, flaw] of [
      { key_ops: ['verify'] },
      { use: 'enc' },
      { x5c: ['bm9uc2Vuc2U='] },
    ].entries()) {
      const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const kid = `flawed-${index}`
      emulator.issuer.documents.jwks.keys.push({ ...(await exportJWK(publicKey)), kid, ...flaw })
      await refused('InvalidIdentityToken', /Couldn't retrieve verification key/, {
        WebIdentityToken: await emulator.issuer.mint({}, { kid, alg: 'ES256', key: privateKey }),
      })
    }
  })

  test('refuses a discovery document that names another issuer', async () => {
    const good = emulator.issuer.documents.discovery
    emulator.issuer.documents.discovery = { ...(good as object), issuer: 'https://evil.example' }
    await clock.advance(120_000)
    await refused('InvalidIdentityToken', /Couldn't retrieve verification key/, {})
    emulator.issuer.documents.discovery = good
  })

  test('tells an issuer that nobody answers from one that answers badly', async () => {
    const url = 'https://localhost:1/oidc'
    await iam(emulator, 'CreateOpenIDConnectProvider', { Url: url, 'ClientIDList.member.1': clientId })
    await refused('IDPCommunicationError', /Not able to reach/, {
      WebIdentityToken: await emulator.issuer.mint({ iss: url }),
    })
  })

  test('refuses an unknown role and one that trusts another subject in the same words', async () => {
    const trust = trustPolicy(emulator, { sub: 'spiffe://example.org/other' })
    await iam(emulator, 'CreateRole', { RoleName: 'strict', AssumeRolePolicyDocument: trust })
    for (const name of ['none', 'strict']) {
      await refused('AccessDenied', /Not authorized to perform sts:AssumeRoleWithWebIdentity/, {
        RoleArn: `arn:aws:iam::123456789012:role/${name}`,
      })
    }
    await assume(emulator, {
      RoleArn: 'arn:aws:iam::123456789012:role/strict',
      WebIdentityToken: await emulator.issuer.mint({ sub: 'spiffe://example.org/other' }),
    })
  })

  test('lets a Deny in the trust policy win', async () => {
    const document = JSON.parse(trustPolicy(emulator)) as { Statement: Record<string, unknown>[] }
    document.Statement.push({
      Effect: 'Deny',
      Principal: '*',
      Action: 'sts:*',
      Condition: { StringLike: { [`${emulator.issuer.host}:sub`]: 'spiffe://*/my-*' } },
    })
    const PolicyDocument = JSON.stringify(document)
    await iam(emulator, 'CreateRole', {
      RoleName: 'denying',
      AssumeRolePolicyDocument: trustPolicy(emulator),
    })
    await iam(emulator, 'UpdateAssumeRolePolicy', { RoleName: 'denying', PolicyDocument })
    const RoleArn = 'arn:aws:iam::123456789012:role/denying'
    await refused('AccessDenied', /Not authorized/, { RoleArn })
    await assume(emulator, { RoleArn, WebIdentityToken: await emulator.issuer.mint({ sub: 'spiffe://a/b' }) })
  })

  test('checks the parameters', async () => {
    await refused('ValidationError', /roleSessionName/, { RoleSessionName: 'a/b' })
    await refused('ValidationError', /durationSeconds/, { DurationSeconds: '899' })
    await refused('ValidationError', /exceeds the MaxSessionDuration/, { DurationSeconds: '3601' })
    await refused('ValidationError', /webIdentityToken/, { WebIdentityToken: '' })
    await refused('MalformedPolicyDocument', /Json/, { Policy: '{' })
    await refused('InvalidAction', /Could not find operation Nonsense/, { Action: 'Nonsense' })
  })

  test('leaves no token and no secret in the access log', async () => {
    const token = await emulator.issuer.mint()
    const credentials = await assume(emulator, { WebIdentityToken: token })
    const log = JSON.stringify(emulator.records())
    for (const secret of [token, credentials.secretAccessKey, credentials.sessionToken]) {
      assert.equal(log.includes(secret), false)
    }
  })
})
