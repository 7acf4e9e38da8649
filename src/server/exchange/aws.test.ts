import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import { parseSpiffeId } from '#model/identity'
import type { AwsSource } from '#model/resource'
import { awsExchange, stsEndpoint } from './aws.ts'
import type { HttpAnswer } from './http-client.ts'

const roleArn = 'arn:aws:iam::123456789012:role/r'
const spiffeId = parseSpiffeId('spiffe://example.org/my-app/workload')

function exchangeWith(answer: { status: number; body: string }) {
  const clock = openTestClock()
  const asked: { url: string; form: Readonly<Record<string, string>> | undefined }[] = []
  const minted: object[] = []
  const exchange = awsExchange({
    clock,
    issuer: {
      url: 'https://id.example/oidc',
      mint: async (request) => {
        minted.push(request)
        return 'token'
      },
    },
    http: {
      request: async (url, { form }) => {
        asked.push({ url: url.href, form })
        return { status: answer.status, headers: {}, body: Buffer.from(answer.body) } satisfies HttpAnswer
      },
    },
  })
  const run = (aws: Partial<AwsSource> = {}) =>
    exchange(
      { spiffeId, sourceName: 'aws', aws: { roleArn, ...aws } },
      { signal: new AbortController().signal },
    )
  return { run, asked, minted, clock }
}

const credentials = (fields: string) =>
  `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>${fields}</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`
const good =
  '<AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>s+/=</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2026-01-01T01:00:00Z</Expiration>'

test('the endpoint follows region and partition unless it is given', () => {
  const endpoint = (source: Partial<AwsSource>) => stsEndpoint({ roleArn, ...source }).href
  assert.equal(endpoint({}), 'https://sts.amazonaws.com/')
  assert.equal(endpoint({ region: 'eu-west-1' }), 'https://sts.eu-west-1.amazonaws.com/')
  assert.equal(endpoint({ endpoint: 'https://rgw:8443/sts' }), 'https://rgw:8443/sts')
  for (const partition of ['aws-other', 'constructor'])
    assert.equal(endpoint({ roleArn: `arn:${partition}:iam::1:role/r` }), 'https://sts.amazonaws.com/')
  const china = { roleArn: 'arn:aws-cn:iam::123456789012:role/r' }
  assert.equal(endpoint(china), 'https://sts.cn-north-1.amazonaws.com.cn/')
  assert.equal(
    endpoint({ ...china, region: 'cn-northwest-1' }),
    'https://sts.cn-northwest-1.amazonaws.com.cn/',
  )
})

test('the request is what STS documents, with the settings of the source', async () => {
  const { run, asked, minted } = exchangeWith({ status: 200, body: credentials(good) })
  await run({ lifetime: '3600s', idTokenLifetime: '120s', audience: ['a'], idTokenClaims: { team: 'x' } })
  assert.deepEqual(asked[0]?.form, {
    Action: 'AssumeRoleWithWebIdentity',
    Version: '2011-06-15',
    RoleArn: roleArn,
    RoleSessionName: 'my-app=workload',
    DurationSeconds: '3600',
    WebIdentityToken: 'token',
  })
  assert.deepEqual(minted[0], { subject: spiffeId, audience: 'a', ttlSeconds: 120, claims: { team: 'x' } })
  await run()
  assert.equal(asked[1]?.form?.['DurationSeconds'], undefined)
  assert.deepEqual(minted[1], { subject: spiffeId, audience: 'sts.amazonaws.com', ttlSeconds: 300 })
})

test('credentials are read with their life', async () => {
  const { run, clock } = exchangeWith({ status: 200, body: credentials(good) })
  const result = await run()
  assert.ok(result.ok)
  const { accessKeyId, secretAccessKey, sessionToken, issuedAt, expiresAt } = result.credential
  assert.deepEqual(
    [accessKeyId, secretAccessKey.revealText(), sessionToken.revealText(), issuedAt, expiresAt],
    ['ASIA1', 's+/=', 't', clock.now(), Date.parse('2026-01-01T01:00:00Z')],
  )
})

test('an answer without usable credentials is a failure, not a credential', async () => {
  const bodies: [string, string][] = [
    ['', 'AnswerMalformed'],
    [credentials(''), 'AnswerMalformed'],
    [credentials(good.replace('<SessionToken>t</SessionToken>', '')), 'AnswerMalformed'],
    [credentials(good.replace('ASIA1', 'AS IA')), 'AnswerMalformed'],
    [credentials(good.replace('>t<', '>t&#13;&#10;host: other<')), 'AnswerMalformed'],
    [credentials(good.replace('>t<', '>t\u010a<')), 'AnswerMalformed'],
    [credentials(good + good), 'AnswerMalformed'],
    [credentials(good.replace('>t<', `>${'t'.repeat(8_192)}<`)), 'AnswerMalformed'],
    [credentials(good.replace('2026-01-01T01', 'x')), 'AnswerMalformed'],
    [credentials(good.replace('2026-01-01T01', '2025-12-31T01')), 'ClockSkew'],
  ]
  for (const [body, reason] of bodies) {
    const result = await exchangeWith({ status: 200, body }).run()
    assert.equal(!result.ok && result.failure.reason, reason, body)
  }
})
