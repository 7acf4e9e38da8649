import { generateKeyPair, randomUUID } from 'node:crypto'
import { promisify } from 'node:util'
import type { Clock } from '#base/clock'
import { Fault } from '#base/errors'
import type { Log } from '#base/log'
import { publicJwk, signJwtSvid } from '#model/token'
import type { TokenIssuer } from './ports.ts'
import { openSigningKeys, type KeyPlace, type KeySchedule, type SigningKeys } from './signing-keys.ts'

const day = 86_400

/** The schedule's defaults: a day ahead, 30 days of use, tokens of a day; verifiers cache for less than the first. */
export interface TokenIssuerSettings extends Partial<KeySchedule> {
  /** Issuer identifier as verifiers fetch it, such as `https://tideway.example:8443/oidc`. */
  readonly url: string
}

/** A token issuer with its schedule. */
export interface RunningTokenIssuer extends TokenIssuer, Pick<SigningKeys, 'follow' | 'keepSchedule'> {
  /** How long a verifier may keep the JWKS and still know each key before it is used, in seconds. */
  readonly cacheSeconds: number
}

/** @throws Fault SETTING_INVALID */
function parseIssuerUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (!url || !/^https?:$/.test(url.protocol) || url.search || url.hash || url.username) {
    throw new Fault('SETTING_INVALID', `issuer URL ${JSON.stringify(text)} is not a plain http or https URL`)
  }
  return text.replace(/\/+$/, '')
}

/**
 * Opens the issuer on its keys in the store; the first opening creates a key that is active at once.
 * @throws Fault SETTING_INVALID, STORE_CORRUPT
 */
export async function openTokenIssuer({
  settings,
  clock,
  ...options
}: KeyPlace & { clock: Clock; log: Log; settings: TokenIssuerSettings }): Promise<RunningTokenIssuer> {
  const { publishAheadSeconds = day, rotateEverySeconds = 30 * day, maxTokenTtlSeconds = day } = settings
  const url = parseIssuerUrl(settings.url)
  const signing = await openSigningKeys({
    ...options,
    clock,
    name: 'issuer',
    signs: 'workload tokens',
    commonName: 'Tideway OIDC issuer',
    generate: () => promisify(generateKeyPair)('rsa', { modulusLength: 2048 }),
    schedule: { publishAheadSeconds, rotateEverySeconds, maxTokenTtlSeconds },
  })
  return {
    url,
    cacheSeconds: Math.min(300, Math.floor(publishAheadSeconds / 2)),
    async mint({ subject, audience, ttlSeconds, claims }) {
      if (ttlSeconds > maxTokenTtlSeconds) {
        throw new Fault('TOKEN_INVALID', `a token lives ${maxTokenTtlSeconds} s at most, not ${ttlSeconds}`)
      }
      const issuedAt = clock.now()
      return signJwtSvid(await signing.active(), {
        issuer: url,
        subject,
        audience,
        issuedAt,
        ttlSeconds,
        id: randomUUID(),
        ...(claims && { claims }),
      })
    },
    discovery: () => ({
      issuer: url,
      jwks_uri: `${url}/jwks`,
      response_types_supported: ['id_token'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['RS256'],
      claims_supported: ['iss', 'sub', 'aud', 'iat', 'nbf', 'exp', 'jti'],
    }),
    jwks: () => ({
      keys: signing.published().map(({ kid, certificate }) => ({ ...publicJwk(kid, certificate) })),
    }),
    keys: () => signing.keys(),
    rotate: () => signing.rotate(),
    follow: (options) => signing.follow(options),
    keepSchedule: (options) => signing.keepSchedule(options),
  }
}
