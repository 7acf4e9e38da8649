import { createPublicKey, randomUUID, type KeyObject } from 'node:crypto'
import { exportJWK, jwtVerify, SignJWT, type JWK, type JWTPayload } from 'jose'
import type { Clock } from '#base/clock'
import { Fault } from '#base/errors'

// SECURITY: each kind says what it is, so that none passes for another.
const kinds = {
  flow: 'tideway-login-flow',
  code: 'tideway-login-code',
  device: 'tideway-login-device',
  id: 'JWT',
} as const

/** The keys of tokens for this server itself: never those that clouds trust. */
export interface SigningKeys {
  /** The one that signs now. */
  active(): Promise<{ readonly kid: string; readonly privateKey: KeyObject }>
  /** The public half of one whose tokens may still hold. */
  publicKey(kid: string): KeyObject | undefined
}

/** Claims that went through somebody else's hands and come back as they were: JWTs. */
export interface SignedClaims {
  sign(
    kind: keyof typeof kinds,
    claims: JWTPayload & { iss: string },
    lifetimeSeconds: number,
  ): Promise<string>
  /** @throws when it is not of this kind and issuer, was not signed here, or has expired */
  open(kind: keyof typeof kinds, issuer: string, token: string): Promise<JWTPayload>
  /** By which others verify what is signed now. */
  publicJwk(): Promise<JWK>
}

export function openSignedClaims({ keys, clock }: { keys: SigningKeys; clock: Clock }): SignedClaims {
  return {
    async sign(kind, claims, lifetimeSeconds) {
      const { kid, privateKey } = await keys.active()
      const iat = Math.floor(clock.now() / 1000)
      return new SignJWT({ ...claims, iat, exp: iat + lifetimeSeconds, jti: randomUUID() })
        .setProtectedHeader({ alg: 'ES256', kid, typ: kinds[kind] })
        .sign(privateKey)
    },
    async open(kind, issuer, token) {
      const keyOf = ({ kid = '' }: { kid?: string }) => {
        const key = keys.publicKey(kid)
        if (key) return key
        throw new Fault('TOKEN_INVALID', 'it was signed with a key that is no more')
      }
      const { payload } = await jwtVerify(token, keyOf, {
        algorithms: ['ES256'],
        typ: kinds[kind],
        issuer,
        currentDate: new Date(clock.now()),
        requiredClaims: ['iat', 'exp', 'jti'],
      })
      return payload
    },
    async publicJwk() {
      const { kid, privateKey } = await keys.active()
      return { ...(await exportJWK(createPublicKey(privateKey))), kid, use: 'sig', alg: 'ES256' }
    },
  }
}
