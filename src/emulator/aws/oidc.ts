import { createPublicKey, X509Certificate } from 'node:crypto'
import { compactVerify, decodeJwt, decodeProtectedHeader, importJWK, type JWK } from 'jose'
import type { Clock, EpochMs } from '#base/clock'
import { AwsError } from './aws-error.ts'
import type { OidcProvider } from './account.ts'
import { FetchError } from './https-json.ts'

/** Reads a JSON document over https. @throws FetchError */
export type JsonFetcher = (url: URL) => Promise<Record<string, unknown>>

/** The claims of a verified token that STS uses. */
export interface VerifiedToken {
  readonly subject: string
  /** The client that the token is for: `azp` where there is one, else the audience. */
  readonly audience: string
  /** The `amr` claim, a condition key of trust policies. */
  readonly methods: readonly string[]
}

export interface OidcVerifier {
  /** @throws AwsError InvalidIdentityToken, ExpiredTokenException, IDPCommunicationError */
  verify(
    token: string,
    providers: ReadonlyMap<string, OidcProvider>,
  ): Promise<VerifiedToken & { provider: OidcProvider }>
}

const algorithms = ['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512']
const toleranceSeconds = 300
const cacheMs = 60_000
/** Beyond this many RSA keys in a set STS takes no RSA signature from it. */
const maxRsaKeys = 100

const noKeyText =
  "Couldn't retrieve verification key from your identity provider, please reference " +
  'AssumeRoleWithWebIdentity documentation for requirements'

const invalid = (message: string) => new AwsError(400, 'InvalidIdentityToken', message)

/**
 * Verifies web identity tokens as STS does (research/peers.md, "Observed AWS STS behaviour"): provider by issuer,
 * discovery, JWKS, signature, times with five minutes of tolerance, audience. Key sets are kept for a minute, one
 * per registered provider, and fetched anew for an unknown `kid`.
 */
export function openOidcVerifier({
  clock,
  fetchJson,
}: {
  clock: Clock
  fetchJson: JsonFetcher
}): OidcVerifier {
  const cache = new Map<string, { keys: readonly JWK[]; fetchedAt: EpochMs }>()

  async function fetchKeys(provider: OidcProvider): Promise<readonly JWK[]> {
    const issuer = `https://${provider.host}`
    const discovery = await fetchJson(new URL(`${issuer}/.well-known/openid-configuration`))
    if (discovery.issuer !== issuer) throw new FetchError('unusable', 'discovery names another issuer')
    if (typeof discovery.jwks_uri !== 'string' || !URL.canParse(discovery.jwks_uri)) {
      throw new FetchError('unusable', 'discovery has no jwks_uri')
    }
    const { keys } = await fetchJson(new URL(discovery.jwks_uri))
    if (!Array.isArray(keys)) throw new FetchError('unusable', 'the key set has no keys')
    return (keys as JWK[]).filter((key) => typeof key === 'object' && key !== null)
  }

  async function findKey(provider: OidcProvider, kid: string, algorithm: string): Promise<JWK | undefined> {
    const cached = cache.get(provider.arn)
    const fresh = cached && clock.now() - cached.fetchedAt < cacheMs ? cached.keys : undefined
    const known = fresh && selectKey(fresh, kid, algorithm)
    if (known) return known
    const keys = await fetchKeys(provider)
    cache.set(provider.arn, { keys, fetchedAt: clock.now() })
    for (const arn of cache.keys()) if (cache.size > 100) cache.delete(arn)
    return selectKey(keys, kid, algorithm)
  }

  return {
    async verify(token, providers) {
      const { header, claims } = decode(token)
      if (typeof claims.iss !== 'string') throw invalid('Missing a required claim: iss')
      const provider = providers.get(claims.iss.replace(/^https:\/\//, ''))
      if (!provider || !claims.iss.startsWith('https://')) {
        throw invalid(`No OpenIDConnect provider found in your account for ${claims.iss}`)
      }
      for (const name of ['sub', 'aud', 'iat', 'exp']) {
        if (claims[name] === undefined) throw invalid(`Missing a required claim: ${name}`)
      }
      const { alg, kid } = header
      if (alg === undefined || !algorithms.includes(alg))
        throw invalid(`Unsupported signature algorithm: ${alg}`)
      if (kid === undefined) throw invalid('Token header has no kid')
      let key: JWK | undefined
      try {
        key = await findKey(provider, kid, alg)
      } catch (error) {
        if (!(error instanceof FetchError)) throw error
        if (error.reason === 'unusable') throw invalid(noKeyText)
        throw new AwsError(400, 'IDPCommunicationError', 'Not able to reach the identity provider')
      }
      if (!key) throw invalid(noKeyText)
      try {
        // SECURITY: the algorithm is the token's, out of a closed list of asymmetric ones, never "none" or HMAC.
        const verification = await importJWK(publicPart(key), alg)
        await compactVerify(token, verification, { algorithms: [alg] })
      } catch {
        throw invalid('Token signature could not be verified')
      }
      checkTimes(claims, clock.now())
      return { provider, ...checkAudience(claims, provider) }
    },
  }
}

type Claims = Readonly<Record<string, unknown>>

function decode(token: string): { header: { alg?: string; kid?: string }; claims: Claims } {
  try {
    return { header: decodeProtectedHeader(token), claims: decodeJwt(token) }
  } catch {
    throw invalid(
      'The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)',
    )
  }
}

/** The usable key of that id: the last one wins, a key with `key_ops`, for encryption or belying its x5c never. */
function selectKey(keys: readonly JWK[], kid: string, algorithm: string): JWK | undefined {
  const kty = algorithm.startsWith('RS') ? 'RSA' : 'EC'
  if (kty === 'RSA' && keys.filter((key) => key.kty === 'RSA').length > maxRsaKeys) return undefined
  return keys
    .filter((key) => key.kid === kid && key.kty === kty)
    .filter((key) => key.use !== 'enc' && key.key_ops === undefined && agreesWithCertificate(key))
    .at(-1)
}

function agreesWithCertificate(key: JWK): boolean {
  const [certificate] = key.x5c ?? []
  if (certificate === undefined) return true
  try {
    const certified = new X509Certificate(Buffer.from(certificate, 'base64')).publicKey
    return createPublicKey({ key: { ...publicPart(key) }, format: 'jwk' }).equals(certified)
  } catch {
    return false
  }
}

function publicPart({ kty, n, e, crv, x, y }: JWK): JWK {
  return kty === 'RSA'
    ? { kty, n: n ?? '', e: e ?? '' }
    : { kty: 'EC', crv: crv ?? '', x: x ?? '', y: y ?? '' }
}

function checkTimes(claims: Claims, at: EpochMs): void {
  const now = Math.floor(at / 1000)
  const time = (name: string) => {
    const value = claims[name]
    if (value === undefined) return undefined
    if (typeof value !== 'number' || !Number.isFinite(value)) throw invalid(`Invalid claim: ${name}`)
    return value
  }
  const expires = time('exp') ?? 0
  if (expires + toleranceSeconds <= now) {
    throw new AwsError(
      400,
      'ExpiredTokenException',
      `Token expired: current date/time ${now} must be before the expiration date/time ${expires}`,
    )
  }
  if ((time('nbf') ?? now) > now + toleranceSeconds) throw invalid('Token is not yet valid')
  if ((time('iat') ?? now) > now + toleranceSeconds) throw invalid('Token was issued in the future')
}

function checkAudience(claims: Claims, provider: OidcProvider): VerifiedToken {
  const { sub, aud, azp, amr } = claims
  if (typeof sub !== 'string' || sub === '') throw invalid('Missing a required claim: sub')
  const audiences = (Array.isArray(aud) ? aud : [aud]).filter((each) => typeof each === 'string')
  if (audiences.length === 0) throw invalid('Missing a required claim: aud')
  const authorized = typeof azp === 'string' ? azp : undefined
  if (audiences.length > 1 && authorized === undefined) {
    throw invalid('A token with several audiences needs the azp claim')
  }
  const audience = authorized ?? audiences[0] ?? ''
  if (!provider.clientIds.includes(audience)) throw invalid('Incorrect token audience')
  const methods = Array.isArray(amr) ? amr.filter((each) => typeof each === 'string') : []
  return { subject: sub, audience, methods }
}
