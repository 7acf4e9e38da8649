import {
  createRemoteJWKSet,
  customFetch as joseFetch,
  decodeProtectedHeader,
  jwtVerify,
  type JWTPayload,
  type JWTVerifyGetKey,
} from 'jose'
import { allowInsecureRequests, customFetch as oidcFetch, discovery } from 'openid-client'
import type { Clock } from '#base/clock'
import { Fault } from '#base/errors'
import { isSafeIssuer, type OidcTrust } from '#model/resource'
import type { HttpAnswer, HttpClient } from '#server/exchange'

/** Verifies the ID tokens of one provider, whose keys it fetches when they are needed. */
export interface IdTokenVerifier {
  /** The claims. @throws Fault TOKEN_INVALID, or what fetching the keys throws */
  verify(token: string): Promise<JWTPayload>
  /** Fetches the provider's documents and keys; what was known stays known if they are not there. @throws what fails */
  probe(): Promise<void>
}

const timeoutMs = 5000
/** How far the clocks of provider and server may be apart. */
const skewSeconds = 30
/** A provider that does not answer is not asked again for each token. */
const retryAfterMs = 10_000
const documentsMaxAgeMs = 3_600_000
const keysMaxAgeMs = 600_000
/** SECURITY: a stranger can name any `kid`: unknown ones make us look for new keys this often at most. */
const keysCooldownMs = 30_000

interface Attempt {
  /** By monotonic time. */
  readonly at: number
  readonly keys: Promise<JWTVerifyGetKey>
  failed: boolean
}

export function openIdTokenVerifier(
  trust: OidcTrust,
  {
    http,
    clock,
    cooldownMs = keysCooldownMs,
    onUnreachable = () => {},
  }: {
    http: Pick<HttpClient, 'request'>
    clock: Clock
    cooldownMs?: number
    /** Told when a token meets with a provider that is away, once until the next look that finds it there. */
    onUnreachable?: () => void
  },
): IdTokenVerifier {
  const { issuer, audiences } = trust
  let attempt: Attempt | undefined
  let mayTell = true

  async function ask(url: URL, signal: AbortSignal): Promise<HttpAnswer> {
    try {
      const answer = await http.request(url, { method: 'GET', signal })
      if (answer.status !== 200) throw new Error(`${url.href} answers ${answer.status}`)
      return answer
    } catch (error) {
      if (mayTell) onUnreachable()
      mayTell = false
      throw error
    }
  }

  // SECURITY: no redirects, bounded answers and times (`HttpClient`), and never from HTTPS down to HTTP.
  async function get(url: string, { signal }: { signal?: AbortSignal | null } = {}): Promise<Response> {
    if (issuer.startsWith('https:') && !url.startsWith('https:')) {
      throw new Fault('EXCHANGE_FAILED', `provider ${issuer} refers to ${url}, which is not https`)
    }
    const { headers, body } = await ask(new URL(url), signal ?? AbortSignal.timeout(timeoutMs))
    const contentType = headers['content-type']
    return new Response(new Uint8Array(body), {
      headers: typeof contentType === 'string' ? { 'content-type': contentType } : {},
    })
  }

  async function discover(): Promise<ReturnType<typeof createRemoteJWKSet>> {
    const plain = issuer.startsWith('http:')
    const configuration = await discovery(new URL(issuer), audiences[0]!, undefined, undefined, {
      timeout: timeoutMs / 1000,
      [oidcFetch]: get,
      ...(plain && { execute: [allowInsecureRequests] }),
    })
    const { jwks_uri: keysUrl = '', issuer: named } = configuration.serverMetadata()
    if (named !== issuer)
      throw new Fault('EXCHANGE_FAILED', `the provider calls itself ${named}, not ${issuer}`)
    const url = URL.parse(keysUrl)
    if (!url || !isSafeIssuer(url.origin))
      throw new Fault('EXCHANGE_FAILED', 'the provider has no safe jwks_uri')
    return createRemoteJWKSet(url, {
      timeoutDuration: timeoutMs,
      cooldownDuration: cooldownMs,
      cacheMaxAge: keysMaxAgeMs,
      [joseFetch]: get,
    })
  }

  function keysOf(): Promise<JWTVerifyGetKey> {
    const now = clock.monotonic()
    if (attempt && now - attempt.at < (attempt.failed ? retryAfterMs : documentsMaxAgeMs)) return attempt.keys
    const next: Attempt = { at: now, keys: discover(), failed: false }
    next.keys.catch(() => {
      next.failed = true
    })
    attempt = next
    return next.keys
  }

  return {
    async verify(token) {
      // SECURITY: access tokens and logout tokens of the same provider name themselves; they log nobody in.
      const { typ = 'JWT' } = decodeProtectedHeader(token)
      if (typ.toLowerCase() !== 'jwt')
        throw new Fault('TOKEN_INVALID', `a token of type ${typ} is no ID token`)
      const { payload } = await jwtVerify(token, await keysOf(), {
        algorithms: [...trust.signingAlgorithms],
        issuer,
        audience: [...audiences],
        clockTolerance: skewSeconds,
        currentDate: new Date(clock.now()),
        requiredClaims: ['sub', 'iat', 'exp'],
      })
      // OpenID Connect Core section 3.1.3.7: a token for several parties says which of them it was issued to.
      const { azp, aud } = payload
      if (azp === undefined ? [aud].flat().length > 1 : typeof azp !== 'string' || !audiences.includes(azp)) {
        throw new Fault('TOKEN_INVALID', 'the token was issued to another party (azp)')
      }
      return payload
    },
    async probe() {
      const at = clock.monotonic()
      mayTell = false
      const keys = await discover()
      await keys.reload()
      attempt = { at, keys: Promise.resolve(keys), failed: false }
      mayTell = true
    },
  }
}
