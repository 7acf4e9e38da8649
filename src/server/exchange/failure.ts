import type { Reason } from '#model/resource'

/** How a failed exchange is tried again. `denied` may heal by itself for a while: IAM is eventually consistent. */
export type FailureKind = 'throttled' | 'unavailable' | 'denied' | 'malformed'

/** Why an exchange failed, in words that an operator can act on. */
export interface ExchangeFailure {
  readonly kind: FailureKind
  readonly reason: Reason
  /** What happened and what to do, in one or two sentences. */
  readonly message: string
  /** Only a change of settings, here or in the cloud, can help: retrying alone cannot. */
  readonly needsOperator: boolean
}

/** What was asked for: messages name it. */
export interface ExchangeSubject {
  readonly issuer: string
  readonly subject: string
  readonly audience: string
  readonly role: string
  readonly endpoint: string
}

/** An error answer of STS. */
export interface StsError {
  readonly status: number
  readonly code: string
  readonly message: string
  /** How far the service's clock is ahead of ours, where its Date header tells. */
  readonly clockAheadMs?: number
}

interface Rule {
  readonly codes: RegExp
  readonly text?: RegExp
  readonly kind: FailureKind
  readonly reason: Reason
  readonly needsOperator: boolean
  message(subject: ExchangeSubject, error: StsError): string
}

function skewOf({ clockAheadMs = 0 }: StsError): string {
  const seconds = Math.round(Math.abs(clockAheadMs) / 1000)
  if (seconds < 5) return ''
  return `; the clock of this server is ${seconds} s ${clockAheadMs > 0 ? 'behind' : 'ahead of'} the cloud's`
}

function whatToAllow({ issuer, subject, audience }: ExchangeSubject): string {
  const provider = issuer.replace(/^https?:\/\//, '')
  return `sts:AssumeRoleWithWebIdentity with "${provider}:sub" = "${subject}" and "${provider}:aud" = "${audience}"`
}

// In order: the first whose code and text match says what happened.
const rules: readonly Rule[] = [
  {
    codes: /^(Throttl|RequestLimitExceeded|TooManyRequests|SlowDown)/,
    kind: 'throttled',
    reason: 'Throttled',
    needsOperator: false,
    message: ({ endpoint }) =>
      `${endpoint} is limiting our requests; the exchange is tried again more slowly by itself`,
  },
  {
    codes: /^(IDPCommunicationError|InvalidIdentityToken)/,
    text: /retrieve verification key|communicat|unable to (retrieve|fetch|connect)|could ?n[o']t (connect|fetch)/i,
    kind: 'denied',
    reason: 'IssuerUnreachable',
    needsOperator: false,
    message: ({ issuer }) =>
      `the cloud cannot fetch the keys of the issuer: make ${issuer}/.well-known/openid-configuration and ` +
      `${issuer}/jwks readable from the Internet by https, or publish them with "tideway oidc publish"`,
  },
  {
    codes: /^IDPCommunicationError/,
    kind: 'denied',
    reason: 'IssuerUnreachable',
    needsOperator: false,
    message: ({ issuer }) =>
      `the cloud could not talk to the issuer: make sure that ${issuer} is reachable from the Internet`,
  },
  {
    codes: /^InvalidIdentityToken/,
    text: /thumbprint|certificate/i,
    kind: 'denied',
    reason: 'IssuerCertificateRefused',
    needsOperator: true,
    message: ({ issuer }) =>
      `the cloud does not accept the TLS certificate of the issuer: give ${issuer} a certificate of a public CA, ` +
      'or register the thumbprint of its top CA in the IAM OIDC provider',
  },
  {
    codes: /^(InvalidIdentityToken|AccessDenied|IDPRejectedClaim)/,
    text: /audience|client id/i,
    kind: 'denied',
    reason: 'AudienceRefused',
    needsOperator: true,
    message: ({ audience, issuer }) =>
      `the cloud does not accept the audience ${audience}: add it to the client IDs (audiences) of the IAM OIDC ` +
      `provider of ${issuer}, or set spec.aws.audience to one that is there`,
  },
  {
    codes: /^InvalidIdentityToken/,
    text: /no openidconnect provider|provider (was )?not found/i,
    kind: 'denied',
    reason: 'ProviderMissing',
    needsOperator: true,
    message: ({ issuer }) =>
      `the account has no IAM OIDC provider for this issuer: create one with the URL ${issuer} ` +
      '(see "tideway setup aws")',
  },
  {
    codes: /^(ExpiredToken|InvalidIdentityToken|AccessDenied)/,
    text: /expired|before the expiration|issued? (time|in the future)|not (yet|before)|\biat\b|\bnbf\b/i,
    kind: 'denied',
    reason: 'ClockSkew',
    needsOperator: true,
    message: (_, error) =>
      `the cloud considers the token expired or not yet valid${skewOf(error)}: set the clock of this server (NTP), ` +
      'or raise spec.aws.idTokenLifetime',
  },
  {
    codes: /^(NoSuchEntity|NoSuchRole|404)/,
    kind: 'denied',
    reason: 'RoleMissing',
    needsOperator: true,
    message: ({ role }) =>
      `the role ${role} was not found: create it, or correct spec.aws.roleArn (account number and name)`,
  },
  {
    codes: /^ValidationError/,
    text: /duration|MaxSessionDuration/i,
    kind: 'malformed',
    reason: 'LifetimeRefused',
    needsOperator: true,
    message: ({ role }) =>
      `the role does not allow sessions this long: lower spec.aws.lifetime, or raise the MaxSessionDuration of ${role}`,
  },
  {
    codes: /^(ValidationError|InvalidParameter)/,
    text: /\barn\b/i,
    kind: 'malformed',
    reason: 'RoleMissing',
    needsOperator: true,
    message: ({ role }) => `the cloud does not accept the role ${role}: correct spec.aws.roleArn`,
  },
  {
    codes: /^RegionDisabled/,
    kind: 'malformed',
    reason: 'RegionDisabled',
    needsOperator: true,
    message: ({ endpoint }) =>
      `STS is not activated in the region of ${endpoint}: activate it in the account, or set spec.aws.region to another`,
  },
  {
    // Ceph gives the same empty answer to everything it refuses.
    codes: /^(AccessDenied|NotAuthorized)/,
    text: /^$/,
    kind: 'denied',
    reason: 'RefusedWithoutReason',
    needsOperator: true,
    message: (subject, error) =>
      `${subject.endpoint} refuses and gives no reason; check there that the trust policy of ${subject.role} allows ` +
      `${whatToAllow(subject)}, that ${subject.issuer} is registered as an OIDC provider with this audience, and ` +
      `that its keys can be fetched from there; check the clocks${skewOf(error)}`,
  },
  {
    codes: /^(AccessDenied|NotAuthorized)/,
    kind: 'denied',
    reason: 'SubjectRefused',
    needsOperator: true,
    message: (subject) =>
      `the trust policy of ${subject.role} does not allow this workload: allow ${whatToAllow(subject)} ` +
      '(see "tideway setup aws"); a role that was just created takes some seconds',
  },
  {
    codes: /^(InvalidIdentityToken|IDPRejectedClaim|MalformedToken|PackedPolicyTooLarge)/,
    kind: 'denied',
    reason: 'TokenRefused',
    needsOperator: true,
    message: ({ issuer }) =>
      `the cloud refuses the token: check that the keys published at ${issuer}/jwks are those of this server`,
  },
]

// SECURITY: both texts come from the network and end up in a status: one line, bounded, never the token.
function quoted({ code, message }: StsError, token: string): string {
  const line = (text: string, maxLength: number) =>
    text
      .replaceAll(token, '[token]')
      .replaceAll(/\p{C}+/gu, ' ')
      .slice(0, maxLength)
  const text = line(message, 300)
  return text === '' ? line(code, 100) : `${line(code, 100)}: ${text}`
}

/** The meaning of an error answer; `token` is kept out of the message. */
export function describeStsError(subject: ExchangeSubject, error: StsError, token: string): ExchangeFailure {
  const rule = rules.find(
    ({ codes, text }) => codes.test(error.code) && (text === undefined || text.test(error.message)),
  )
  const answer = `(answer ${error.status} ${quoted(error, token)})`
  if (rule) {
    const { kind, reason, needsOperator } = rule
    return { kind, reason, needsOperator, message: `${rule.message(subject, error)} ${answer}` }
  }
  if (error.status >= 500 || error.status === 429) {
    return {
      kind: error.status === 429 ? 'throttled' : 'unavailable',
      reason: error.status === 429 ? 'Throttled' : 'ServiceUnavailable',
      needsOperator: false,
      message: `${subject.endpoint} cannot answer at the moment; the exchange is tried again by itself ${answer}`,
    }
  }
  return {
    kind: 'malformed',
    reason: 'RequestRefused',
    needsOperator: true,
    message: `${subject.endpoint} refuses the request: check spec.aws of the source ${answer}`,
  }
}

const untrusted =
  /^(UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|CERT_|ERR_TLS_CERT_|HOSTNAME_MISMATCH|INVALID_CA|ERR_SSL_)/

/** Why there was no answer from `endpoint`: a reason and what to do. `error` is what Node threw. */
export function describeUnreachable(endpoint: string, error: unknown): ExchangeFailure {
  const { code = '', message = String(error) } = error as { code?: string; message?: string }
  const because = (reason: Reason, text: string): ExchangeFailure => ({
    kind: 'unavailable',
    reason,
    needsOperator: false,
    message: text,
  })
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    return because(
      'NameNotResolved',
      `the name of ${endpoint} cannot be resolved (${code}): check the URL and the DNS of this server`,
    )
  }
  if (code === 'ECONNREFUSED') {
    return because(
      'ConnectionRefused',
      `nothing listens at ${endpoint}: check the URL and port, and whether a proxy or firewall is in the way`,
    )
  }
  if (code === 'ABORT_ERR') {
    return because(
      'NoAnswer',
      `${endpoint} has not answered in time: check whether a firewall drops what this server sends, and whether a proxy is needed`,
    )
  }
  if (untrusted.test(code)) {
    return because(
      'CertificateUntrusted',
      `the TLS certificate of ${endpoint} is not trusted (${code}): correct it, or name its CA with --exchange-ca`,
    )
  }
  return because(
    'EndpointUnreachable',
    `${endpoint} cannot be reached (${(code || message).slice(0, 200)}): check the network of this server`,
  )
}
