import type { Clock } from '#base/clock'
import { Secret } from '#base/secret'
import type { AwsCredential } from '#model/credential'
import { splitSpiffeId, type SpiffeId } from '#model/identity'
import { parseSeconds, type AwsSource } from '#model/resource'
import type { TokenIssuer } from '#server/issuer'
import { describeStsError, describeUnreachable, type ExchangeFailure } from './failure.ts'
import type { HttpAnswer, HttpClient } from './http-client.ts'
import { roleSessionName } from './session-name.ts'
import { childAt, parseXml, type XmlElement } from './xml.ts'

/** One pair of workload and source for which a credential is kept. */
export interface ExchangeTarget {
  readonly spiffeId: SpiffeId
  /** Name of the CredentialSource as scopes know it. */
  readonly sourceName: string
  readonly aws: AwsSource
}

/** Performs one exchange; a refusal is a value. Throws only what `signal` aborted with, or a defect. */
export type Exchange = (
  target: ExchangeTarget,
  options: { signal: AbortSignal },
) => Promise<{ ok: true; credential: AwsCredential } | { ok: false; failure: ExchangeFailure }>

export const defaultAudience = 'sts.amazonaws.com'
const defaultTokenSeconds = 300
/** The longest session that STS grants; a credential that claims more is renewed as if it were this. */
const maxLifeMs = 43_200_000
/** Tokens of AWS have less than half of it, and S3 takes no more in all headers. Daemons hold it for every binding. */
const maxSecretLength = 8_192

// The partitions of AWS by the first field of an ARN: DNS suffix, and the region of STS where none is given.
const commercial: { readonly suffix: string; readonly region?: string } = { suffix: 'amazonaws.com' }
const partitions = new Map([
  ['aws', commercial],
  ['aws-us-gov', { suffix: 'amazonaws.com', region: 'us-gov-west-1' }],
  ['aws-cn', { suffix: 'amazonaws.com.cn', region: 'cn-north-1' }],
  ['aws-eusc', { suffix: 'amazonaws.eu', region: 'eusc-de-east-1' }],
  ['aws-iso', { suffix: 'c2s.ic.gov', region: 'us-iso-east-1' }],
  ['aws-iso-b', { suffix: 'sc2s.sgov.gov', region: 'us-isob-east-1' }],
])

/** Where tokens of this source are exchanged: as given, else the regional or the global endpoint of STS. */
export function stsEndpoint({ endpoint, region, roleArn }: AwsSource): URL {
  if (endpoint !== undefined) return new URL(endpoint)
  const { suffix, region: home } = partitions.get(roleArn.split(':')[1]!) ?? commercial
  const place = region ?? home
  return new URL(`https://sts.${place === undefined ? '' : `${place}.`}${suffix}/`)
}

/** Exchanges with AWS STS by AssumeRoleWithWebIdentity (API version 2011-06-15), or with what speaks it. */
export function awsExchange({
  issuer,
  http,
  clock,
}: {
  issuer: Pick<TokenIssuer, 'url' | 'mint'>
  http: HttpClient
  clock: Clock
}): Exchange {
  return async ({ spiffeId, aws }, { signal }) => {
    const endpoint = stsEndpoint(aws)
    const audience = aws.audience?.[0] ?? defaultAudience
    const token = await issuer.mint({
      subject: spiffeId,
      audience,
      ttlSeconds: aws.idTokenLifetime === undefined ? defaultTokenSeconds : parseSeconds(aws.idTokenLifetime),
      ...(aws.idTokenClaims && { claims: aws.idTokenClaims }),
    })
    let answer: HttpAnswer
    try {
      answer = await http.request(endpoint, {
        method: 'POST',
        form: {
          Action: 'AssumeRoleWithWebIdentity',
          Version: '2011-06-15',
          RoleArn: aws.roleArn,
          RoleSessionName: roleSessionName(splitSpiffeId(spiffeId).workloadId),
          ...(aws.lifetime !== undefined && { DurationSeconds: String(parseSeconds(aws.lifetime)) }),
          WebIdentityToken: token,
        },
        signal,
      })
    } catch (error) {
      signal.throwIfAborted()
      return { ok: false, failure: describeUnreachable(endpoint.origin, error) }
    }
    const now = clock.now()
    if (answer.status === 200) return readCredential(answer, now, endpoint)
    const date = Date.parse(String(answer.headers['date']))
    const failure = describeStsError(
      {
        issuer: issuer.url,
        subject: spiffeId,
        audience,
        role: aws.roleArn,
        endpoint: endpoint.origin,
      },
      {
        status: answer.status,
        ...readError(answer),
        ...(Number.isNaN(date) ? {} : { clockAheadMs: date - now }),
      },
      token,
    )
    return { ok: false, failure }
  }
}

function parseAnswer({ body }: HttpAnswer): XmlElement | undefined {
  try {
    return parseXml(body.toString('utf8'))
  } catch {
    return undefined
  }
}

/** AWS wraps its errors in ErrorResponse; Ceph does not. */
function readError(answer: HttpAnswer): { code: string; message: string } {
  const root = parseAnswer(answer)
  const error = root?.name === 'ErrorResponse' ? childAt(root, 'Error') : root
  const text = (name: string) => (error && childAt(error, name)?.text.trim()) ?? ''
  return { code: text('Code') || String(answer.status), message: text('Message') }
}

const malformed = (message: string): { ok: false; failure: ExchangeFailure } => ({
  ok: false,
  failure: { kind: 'malformed', reason: 'AnswerMalformed', needsOperator: true, message },
})

function readCredential(
  answer: HttpAnswer,
  now: number,
  endpoint: URL,
): { ok: true; credential: AwsCredential } | { ok: false; failure: ExchangeFailure } {
  const root = parseAnswer(answer)
  const credentials =
    root?.name === 'AssumeRoleWithWebIdentityResponse'
      ? childAt(root, 'AssumeRoleWithWebIdentityResult', 'Credentials')
      : undefined
  const text = (name: string) => (credentials && childAt(credentials, name)?.text.trim()) || undefined
  const [accessKeyId, secretAccessKey, sessionToken] = [
    text('AccessKeyId'),
    text('SecretAccessKey'),
    text('SessionToken'),
  ]
  const expiresAt = Math.min(Date.parse(text('Expiration') ?? ''), now + maxLifeMs)
  const legal = accessKeyId && /^\w{1,128}$/.test(accessKeyId) && secretAccessKey && sessionToken
  // A token goes into a header of each request: what none can hold would read OK, and every request fail.
  if (!legal || !/^[!-~]+$/.test(sessionToken) || Number.isNaN(expiresAt)) {
    return malformed(
      `${endpoint.origin} answered 200 without credentials: check that it is the URL of an STS`,
    )
  }
  if (secretAccessKey.length + sessionToken.length > maxSecretLength) {
    return malformed(
      `${endpoint.origin} answered with a session token of more than ${maxSecretLength} characters, which requests ` +
        'cannot carry: give the session fewer tags and policies, or check that the URL is that of an STS',
    )
  }
  if (expiresAt <= now) {
    return {
      ok: false,
      failure: {
        kind: 'denied',
        reason: 'ClockSkew',
        needsOperator: true,
        message: `${endpoint.origin} answered with credentials that have expired by the clock of this server: set it (NTP)`,
      },
    }
  }
  return {
    ok: true,
    credential: {
      kind: 'aws',
      accessKeyId,
      secretAccessKey: Secret.of(secretAccessKey),
      sessionToken: Secret.of(sessionToken),
      issuedAt: now,
      expiresAt,
    },
  }
}
