import assert from 'node:assert/strict'
import { test } from 'node:test'
import { describeStsError, describeUnreachable } from './failure.ts'

const subject = {
  issuer: 'https://id.example/oidc',
  subject: 'spiffe://example.org/my-app',
  audience: 'sts.amazonaws.com',
  role: 'arn:aws:iam::123456789012:role/r',
  endpoint: 'https://sts.amazonaws.com',
}
const token = 'eyJhbGciOi.J9.abc'

test('each error of STS has its reason, its way of retrying, and says who must act', () => {
  const cases: [
    status: number,
    code: string,
    message: string,
    reason: string,
    kind: string,
    operator: boolean,
  ][] = [
    [400, 'Throttling', 'Rate exceeded', 'Throttled', 'throttled', false],
    [429, 'Whatever', '', 'Throttled', 'throttled', false],
    [500, 'InternalFailure', '', 'ServiceUnavailable', 'unavailable', false],
    [400, 'IDPCommunicationError', 'Error communicating with IdP', 'IssuerUnreachable', 'denied', false],
    [400, 'InvalidIdentityToken', "Couldn't retrieve verification key", 'IssuerUnreachable', 'denied', false],
    [400, 'InvalidIdentityToken', 'Incorrect token audience', 'AudienceRefused', 'denied', true],
    [400, 'InvalidIdentityToken', 'No OpenIDConnect provider found', 'ProviderMissing', 'denied', true],
    [
      400,
      'InvalidIdentityToken',
      'HTTPS certificate doesn’t match',
      'IssuerCertificateRefused',
      'denied',
      true,
    ],
    [400, 'InvalidIdentityToken', 'something else', 'TokenRefused', 'denied', true],
    [400, 'ExpiredTokenException', 'Token expired', 'ClockSkew', 'denied', true],
    [403, 'AccessDenied', 'Not authorized', 'SubjectRefused', 'denied', true],
    [403, 'AccessDenied', '', 'RefusedWithoutReason', 'denied', true],
    [404, 'NoSuchEntity', '', 'RoleMissing', 'denied', true],
    [400, 'ValidationError', 'Request ARN is invalid', 'RoleMissing', 'malformed', true],
    [
      400,
      'ValidationError',
      'DurationSeconds exceeds the MaxSessionDuration',
      'LifetimeRefused',
      'malformed',
      true,
    ],
    [403, 'RegionDisabledException', '', 'RegionDisabled', 'malformed', true],
    [418, 'Teapot', '', 'RequestRefused', 'malformed', true],
  ]
  for (const [status, code, message, reason, kind, needsOperator] of cases) {
    const failure = describeStsError(subject, { status, code, message }, token)
    assert.deepEqual(
      [failure.reason, failure.kind, failure.needsOperator],
      [reason, kind, needsOperator],
      `${code} ${message}`,
    )
    assert.ok(failure.message.length < 900)
  }
})

test('what the network says is one bounded line without the token', () => {
  const text = `bad ${token}\n\u001b[31mred\u0000${'x'.repeat(10_000)}`
  for (const error of [
    { code: 'Other', message: text },
    { code: text, message: 'no' },
    { code: text, message: '' },
  ]) {
    const failure = describeStsError(subject, { status: 400, ...error }, token)
    assert.doesNotMatch(failure.message, /eyJ|\n|\p{C}/u)
    assert.ok(failure.message.length < 600)
  }
})

test('a skewed clock is named with its size and direction', () => {
  const error = { status: 400, code: 'ExpiredTokenException', message: 'expired' }
  const say = (clockAheadMs: number) => describeStsError(subject, { ...error, clockAheadMs }, token).message
  assert.match(say(90_000), /90 s behind the cloud/)
  assert.match(say(-90_000), /90 s ahead of the cloud/)
  assert.doesNotMatch(say(1_000), /clock of this server is/)
})

test('an endpoint without answer says whether name, connection or certificate is at fault', () => {
  const reasonOf = (code: string) =>
    describeUnreachable('https://sts', Object.assign(new Error(code), { code })).reason
  assert.equal(reasonOf('ENOTFOUND'), 'NameNotResolved')
  assert.equal(reasonOf('EAI_AGAIN'), 'NameNotResolved')
  assert.equal(reasonOf('ECONNREFUSED'), 'ConnectionRefused')
  assert.equal(reasonOf('SELF_SIGNED_CERT_IN_CHAIN'), 'CertificateUntrusted')
  assert.equal(reasonOf('CERT_HAS_EXPIRED'), 'CertificateUntrusted')
  assert.equal(reasonOf('ERR_TLS_CERT_ALTNAME_INVALID'), 'CertificateUntrusted')
  assert.equal(reasonOf('ECONNRESET'), 'EndpointUnreachable')
})
