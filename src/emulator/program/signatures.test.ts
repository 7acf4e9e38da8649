import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import aws4 from 'aws4'
import { openTestClock, systemClock, type TestClock } from '#base/clock'
import {
  allow,
  amzDate,
  assume,
  iam,
  openTestEmulator,
  plainHeaders,
  prepare,
  send,
  type TemporaryCredentials,
  type TestEmulator,
} from './test-emulator.ts'

interface Outgoing {
  service: string
  host: string
  method: string
  path: string
  headers: Record<string, string>
  body: string
}

const s3: Outgoing = {
  service: 's3',
  host: 's3.us-east-1.amazonaws.com',
  method: 'PUT',
  path: '/bucket/key',
  headers: {},
  body: 'hello',
}
const ssm: Outgoing = {
  service: 'ssm',
  host: 'ssm.us-east-1.amazonaws.com',
  method: 'POST',
  path: '/',
  headers: { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': 'AmazonSSM.PutParameter' },
  body: JSON.stringify({ Name: '/a', Value: '1', Type: 'String', Overwrite: true }),
}
const bedrock: Outgoing = {
  service: 'bedrock',
  host: 'bedrock-agent-runtime.us-east-1.amazonaws.com',
  method: 'POST',
  path: '/agents/AGENT123/agentAliases/ALIAS456/sessions/session-001/text',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ inputText: 'hi' }),
}
const sts: Outgoing = {
  service: 'sts',
  host: 'sts.amazonaws.com',
  method: 'POST',
  path: '/',
  headers: { 'content-type': 'application/x-www-form-urlencoded' },
  body: 'Action=GetCallerIdentity&Version=2011-06-15',
}
const all = { s3, ssm, bedrock, sts }

describe('signatures', () => {
  let clock: TestClock
  let emulator: TestEmulator
  let credentials: TemporaryCredentials
  before(async () => {
    clock = openTestClock(systemClock.now())
    emulator = await openTestEmulator({ clock })
    await prepare(emulator, allow(['s3:*', 'ssm:*', 'bedrock:*']))
    credentials = await assume(emulator)
    const bucket = signed({ ...s3, path: '/bucket', body: '' })
    assert.equal((await send(emulator, bucket)).status, 200)
  })
  after(() => emulator[Symbol.asyncDispose]())

  function signed(
    request: Outgoing,
    as: Partial<TemporaryCredentials> = credentials,
    options: object = {},
  ): Outgoing {
    const headers = { ...date(0), ...request.headers }
    const result = aws4.sign({ ...request, region: 'us-east-1', headers, ...options }, as)
    return { ...request, path: result.path ?? request.path, headers: plainHeaders(result.headers) }
  }

  async function refused(
    request: Outgoing,
    expected: readonly [status: number, code: string],
  ): Promise<void> {
    const reply = await send(emulator, request)
    const code =
      reply.headers['x-amzn-errortype'] ??
      /<Code>(.*?)<|"__type":"(.*?)"/.exec(reply.text)?.slice(1).find(Boolean)
    assert.deepEqual([reply.status, code], expected)
  }

  const date = (ms: number) => amzDate(clock, ms)
  const minute = 60_000

  test('a request signed by another implementation is accepted by each service', async () => {
    for (const request of Object.values(all)) {
      const reply = await send(emulator, signed(request))
      assert.equal(reply.status, 200, reply.text)
    }
  })

  test('an unsigned request is refused in the words of the service', async () => {
    await refused(s3, [403, 'AccessDenied'])
    await refused(ssm, [400, 'MissingAuthenticationTokenException'])
    await refused(bedrock, [403, 'MissingAuthenticationTokenException'])
    await refused(sts, [403, 'MissingAuthenticationToken'])
    const last = emulator.records().at(-2)
    assert.equal(last?.action, 'InvokeAgent')
    assert.equal(last?.principal, undefined)
  })

  test('a changed signature, body, path, header or method is refused', async () => {
    const flip = (text: string) => text.replace(/.$/, (digit) => (digit === '0' ? '1' : '0'))
    const good = signed(bedrock)
    const mismatch = [403, 'InvalidSignatureException'] as const
    const authorization = good.headers.authorization ?? ''
    await refused({ ...good, headers: { ...good.headers, authorization: flip(authorization) } }, mismatch)
    await refused({ ...good, body: good.body.replace('hi', 'ho') }, mismatch)
    await refused({ ...good, path: good.path.replace('AGENT123', 'AGENT124') }, mismatch)
    await refused({ ...good, path: `${good.path}?a=b` }, mismatch)
    await refused({ ...good, headers: { ...good.headers, 'content-type': 'text/plain' } }, mismatch)
    await refused({ ...signed(s3), method: 'DELETE' }, [403, 'SignatureDoesNotMatch'])
    await refused({ ...signed(s3), body: 'other' }, [400, 'XAmzContentSHA256Mismatch'])
    await refused({ ...signed(ssm), body: ssm.body.replace('1', '2') }, [400, 'InvalidSignatureException'])
    await refused({ ...signed(sts), body: sts.body.replace('2011', '2012') }, [403, 'SignatureDoesNotMatch'])
  })

  test('a header of AWS that is not signed is refused', async () => {
    const good = signed(s3)
    await refused({ ...good, headers: { ...good.headers, 'x-amz-meta-added': '1' } }, [403, 'AccessDenied'])
    const bad = signed(ssm)
    await refused({ ...bad, headers: { ...bad.headers, 'x-amz-added': '1' } }, [
      400,
      'InvalidSignatureException',
    ])
  })

  test('a signature for another host, service, region or day is refused', async () => {
    const elsewhere = signed(bedrock)
    await refused({ ...elsewhere, headers: { ...elsewhere.headers, host: 'localhost' } }, [
      403,
      'InvalidSignatureException',
    ])
    await refused(signed(s3, credentials, { service: 'ssm' }), [400, 'AuthorizationHeaderMalformed'])
    await refused(signed(ssm, credentials, { service: 's3' }), [400, 'InvalidSignatureException'])
    await refused(signed(s3, credentials, { region: 'eu-west-1' }), [400, 'AuthorizationHeaderMalformed'])
    await refused(signed(bedrock, credentials, { region: 'eu-west-1' }), [403, 'InvalidSignatureException'])
    const good = signed(sts)
    const authorization = (good.headers.authorization ?? '').replace(/\/\d{8}\//, '/20200101/')
    await refused({ ...good, headers: { ...good.headers, authorization } }, [400, 'IncompleteSignature'])
  })

  test('session token: none, another one, and one on a key that has none', async () => {
    const { accessKeyId, secretAccessKey } = credentials
    const without = { accessKeyId, secretAccessKey }
    const other = { ...credentials, sessionToken: (await assume(emulator)).sessionToken }
    for (const as of [without, other, { ...emulator.root, sessionToken: credentials.sessionToken }]) {
      await refused(signed(s3, as), [400, 'InvalidToken'])
      await refused(signed(sts, as), [403, 'InvalidClientTokenId'])
      await refused(signed(bedrock, as), [403, 'UnrecognizedClientException'])
    }
  })

  test('an unknown key and a wrong secret', async () => {
    const unknown = { ...credentials, accessKeyId: 'ASIAAAAAAAAAAAAAAAAA' }
    await refused(signed(s3, unknown), [403, 'InvalidAccessKeyId'])
    await refused(signed(ssm, unknown), [400, 'UnrecognizedClientException'])
    const wrong = { ...credentials, secretAccessKey: 'wrong' }
    await refused(signed(s3, wrong), [403, 'SignatureDoesNotMatch'])
    await refused(signed(bedrock, wrong), [403, 'InvalidSignatureException'])
  })

  test('the clock may differ by five minutes, at S3 by fifteen', async () => {
    for (const sign of [-1, 1]) {
      const near = signed({ ...ssm, headers: { ...ssm.headers, ...date(sign * 4 * minute) } })
      assert.equal((await send(emulator, near)).status, 200)
      const far = { ...date(sign * 6 * minute) }
      await refused(signed({ ...ssm, headers: { ...ssm.headers, ...far } }), [
        400,
        'InvalidSignatureException',
      ])
      await refused(signed({ ...sts, headers: { ...sts.headers, ...far } }), [403, 'SignatureDoesNotMatch'])
      assert.equal((await send(emulator, signed({ ...s3, headers: date(sign * 14 * minute) }))).status, 200)
      await refused(signed({ ...s3, headers: date(sign * 16 * minute) }), [403, 'RequestTimeTooSkewed'])
    }
  })

  test('a malformed Authorization header is refused', async () => {
    for (const authorization of [
      'Bearer x',
      'AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=0',
      'AWS4-HMAC-SHA256 Credential=a, Credential=b',
      'AWS4-HMAC-SHA256',
    ]) {
      await refused({ ...bedrock, headers: { authorization } }, [403, 'IncompleteSignatureException'])
    }
  })

  test('presigned URLs hold as long as they say, and nothing in them can be changed', async () => {
    const presign = (seconds: number) => {
      const path = `/bucket/key?X-Amz-Expires=${seconds}&X-Amz-Date=${date(0)['x-amz-date']}`
      const request = { ...s3, method: 'GET', body: '', path }
      return signed(request, credentials, { signQuery: true, headers: {} })
    }
    await send(emulator, signed(s3))
    const link = presign(60)
    const get = (path: string) => ({ ...s3, method: 'GET', body: '', path })
    assert.equal((await send(emulator, get(link.path))).text, 'hello')
    await refused(get(link.path.replace('Expires=60', 'Expires=600')), [403, 'SignatureDoesNotMatch'])
    await refused(get(link.path.replace('/key', '/kex')), [403, 'SignatureDoesNotMatch'])
    await refused({ ...get(link.path), method: 'DELETE' }, [403, 'SignatureDoesNotMatch'])
    await refused(get(presign(700_000).path), [400, 'AuthorizationHeaderMalformed'])
    await refused(get(`${link.path}&X-Amz-Expires=60`), [400, 'AuthorizationHeaderMalformed'])
    const short = presign(1)
    await clock.advance(2100)
    await refused(get(short.path), [403, 'AccessDenied'])
  })

  test('a deleted policy and a deleted role stop a session that is under way', async () => {
    await iam(emulator, 'CreateRole', { RoleName: 'brief', AssumeRolePolicyDocument: brief(emulator) })
    await iam(emulator, 'PutRolePolicy', {
      RoleName: 'brief',
      PolicyName: 'p',
      PolicyDocument: allow('ssm:*'),
    })
    const session = await assume(emulator, { RoleArn: 'arn:aws:iam::123456789012:role/brief' })
    const call = () => send(emulator, signed(ssm, session))
    const denied = async () => assert.match((await call()).text, /AccessDeniedException.*ssm:PutParameter/)
    assert.equal((await call()).status, 200)
    await iam(emulator, 'DeleteRolePolicy', { RoleName: 'brief', PolicyName: 'p' })
    await denied()
    await iam(emulator, 'DeleteRole', { RoleName: 'brief' })
    await denied()
    await iam(emulator, 'CreateRole', { RoleName: 'brief', AssumeRolePolicyDocument: brief(emulator) })
    await iam(emulator, 'PutRolePolicy', {
      RoleName: 'brief',
      PolicyName: 'p',
      PolicyDocument: allow('ssm:*'),
    })
    await denied()
  })

  test('a session policy narrows what the role allows', async () => {
    const session = await assume(emulator, { Policy: allow('bedrock:*') })
    assert.equal((await send(emulator, signed(bedrock, session))).status, 200)
    await refused(signed(ssm, session), [400, 'AccessDeniedException'])
  })

  test('an expired session is refused', async () => {
    const session = await assume(emulator, { DurationSeconds: '900' })
    await clock.advance(901_000)
    await refused(signed(s3, session), [400, 'ExpiredToken'])
    await refused(signed(bedrock, session), [403, 'ExpiredTokenException'])
    await refused(signed(sts, session), [403, 'ExpiredToken'])
  })

  test('a host of AWS that is not played is told so', async () => {
    assert.equal((await send(emulator, { host: 'ec2.us-east-1.amazonaws.com' })).status, 421)
  })
})

function brief({ issuer }: TestEmulator): string {
  const Federated = `arn:aws:iam::123456789012:oidc-provider/${issuer.host}`
  return JSON.stringify({
    Version: '2012-10-17',
    Statement: { Effect: 'Allow', Principal: { Federated }, Action: 'sts:AssumeRoleWithWebIdentity' },
  })
}
