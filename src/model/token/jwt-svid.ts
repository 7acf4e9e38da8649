import type { KeyObject } from 'node:crypto'
import { createLocalJWKSet, jwtVerify, SignJWT, type JSONWebKeySet, type JWTPayload } from 'jose'
import type { EpochMs } from '#base/clock'
import { Fault } from '#base/errors'
import type { SpiffeId } from '#model/identity'

export interface SigningKey {
  readonly kid: string
  readonly privateKey: KeyObject
}

/** What a token says (JWT-SVID section 3). */
export interface JwtSvid {
  readonly issuer: string
  readonly subject: SpiffeId
  readonly audience: string
  /** Also the start of validity; truncated to the second. */
  readonly issuedAt: EpochMs
  readonly ttlSeconds: number
  /** Unique: the `jti`. */
  readonly id: string
  /** Further claims, none of `registeredClaims`. */
  readonly claims?: Readonly<Record<string, unknown>>
}

/** RFC 7519 section 4.1: set by the issuer alone. */
export const registeredClaims: ReadonlySet<string> = new Set([
  'iss',
  'sub',
  'aud',
  'exp',
  'nbf',
  'iat',
  'jti',
])

/** @throws Fault TOKEN_INVALID when `claims` holds a registered claim */
export async function signJwtSvid(key: SigningKey, svid: JwtSvid): Promise<string> {
  const { issuer, subject, audience, issuedAt, ttlSeconds, id, claims = {} } = svid
  const taken = Object.keys(claims).find((name) => registeredClaims.has(name))
  if (taken !== undefined) throw new Fault('TOKEN_INVALID', `claim ${taken} is set by the issuer alone`)
  const at = Math.floor(issuedAt / 1000)
  return new SignJWT({
    ...claims,
    iss: issuer,
    sub: subject,
    // A single text: a list of one means different things to different verifiers.
    aud: audience,
    iat: at,
    nbf: at,
    exp: at + ttlSeconds,
    jti: id,
  })
    .setProtectedHeader({ alg: 'RS256', kid: key.kid, typ: 'JWT' })
    .sign(key.privateKey)
}

/**
 * Verifies a token of our profile against a key set, without leeway, and returns its claims.
 * @throws Fault TOKEN_INVALID
 */
export async function verifyJwt(
  token: string,
  expected: { keys: JSONWebKeySet; issuer: string; audience: string; at: EpochMs },
): Promise<JWTPayload> {
  try {
    const { payload } = await jwtVerify(token, createLocalJWKSet(expected.keys), {
      algorithms: ['RS256'],
      issuer: expected.issuer,
      audience: expected.audience,
      currentDate: new Date(expected.at),
      requiredClaims: ['sub', 'iat', 'nbf', 'exp', 'jti'],
    })
    return payload
  } catch (error) {
    throw new Fault('TOKEN_INVALID', `token refused: ${(error as Error).message}`, { cause: error })
  }
}
