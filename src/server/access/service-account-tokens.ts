import { randomUUID, type KeyObject } from 'node:crypto'
import { decodeJwt, jwtVerify, SignJWT, type JWTPayload } from 'jose'
import type { Clock, EpochMs } from '#base/clock'
import { Fault } from '#base/errors'
import { authenticatedGroup, serviceAccountGroups, serviceAccountName } from '#model/access'
import type { ServiceAccount } from '#model/resource'
import type { Resources } from '#server/store'
import type { AccountKeys, Authenticator, Principal } from './ports.ts'

/** The audience of this API, and of a token that names none. */
export const apiAudience = 'tideway'
/** No URL: no provider can have it, for theirs must be. */
export const serviceAccountIssuer = 'tideway/serviceaccount'

/** As in Kubernetes, and no longer than a month. */
export const tokenLifetime = { defaultSeconds: 3600, minSeconds: 600, maxSeconds: 30 * 86_400 }

/** Tokens begin a little earlier than now: the clocks of servers on one store differ. */
const clockSkewSeconds = 60

export interface ServiceAccountTokens extends Authenticator {
  /**
   * Whose a token is that is for one of these audiences, and for which; undefined for one of another kind.
   * @throws Fault TOKEN_INVALID
   */
  review(
    token: string,
    audiences: readonly string[],
  ): Promise<{ principal: Principal; audiences: readonly string[] } | undefined>
  /** A token of an account, which ends with it. */
  mint(
    account: ServiceAccount,
    request: { audiences: readonly string[]; expirationSeconds: number },
  ): Promise<{ token: string; expiresAt: EpochMs }>
}

interface AccountClaims {
  readonly namespace: string
  readonly serviceaccount: { readonly name: string; readonly uid: string }
}

function accountOf(payload: JWTPayload): AccountClaims | undefined {
  const { namespace, serviceaccount } = (payload['kubernetes.io'] ?? {}) as Partial<AccountClaims>
  if (typeof namespace !== 'string' || typeof serviceaccount?.name !== 'string') return undefined
  return typeof serviceaccount.uid === 'string' ? { namespace, serviceaccount } : undefined
}

/**
 * Tokens of service accounts: JWTs (RFC 7519) with the claims that Kubernetes gives them.
 * SECURITY: signed by keys of their own. Under the issuer's published keys a token for the audience of a cloud
 * would pass for a workload's wherever a trust policy looks at the audience alone.
 */
export function openServiceAccountTokens({
  keys,
  resources,
  clock,
}: {
  keys: AccountKeys
  resources: Pick<Resources, 'get'>
  clock: Clock
}): ServiceAccountTokens {
  function publicKeyOf({ kid }: { kid?: string }): KeyObject {
    const key = kid === undefined ? undefined : keys.publicKey(kid)
    if (!key) throw new Fault('TOKEN_INVALID', 'the key of the token is not known, or no more')
    return key
  }

  const review: ServiceAccountTokens['review'] = async (token, audiences) => {
    if (decodeJwt(token).iss !== serviceAccountIssuer) return undefined
    const { payload } = await jwtVerify(token, publicKeyOf, {
      algorithms: ['ES256'],
      typ: 'JWT',
      issuer: serviceAccountIssuer,
      audience: [...audiences],
      currentDate: new Date(clock.now()),
      requiredClaims: ['sub', 'iat', 'nbf', 'exp', 'jti'],
    })
    const account = accountOf(payload)
    if (!account) throw new Fault('TOKEN_INVALID', 'the token names no service account')
    const { namespace, serviceaccount } = account
    const { name, uid } = serviceaccount
    // SECURITY: asked of the store itself, so that a token ends with its account and not a moment later; an
    // account of the same name that was made afterwards is another one.
    const object = await resources.get('ServiceAccount', namespace, name)
    if (object?.metadata.uid !== uid || object.metadata.deletionTimestamp !== undefined) {
      throw new Fault('TOKEN_INVALID', `service account ${namespace}/${name} of the token is no more`)
    }
    const principal = {
      name: serviceAccountName(namespace, name),
      uid,
      groups: [...serviceAccountGroups(namespace), authenticatedGroup],
      provider: 'service-account',
      expiresAt: payload.exp! * 1000,
    }
    return { principal, audiences: [payload.aud ?? []].flat().filter((one) => audiences.includes(one)) }
  }

  return {
    review,
    async mint({ metadata }, { audiences, expirationSeconds }) {
      const { namespace, name, uid } = metadata
      const { kid, privateKey } = await keys.active()
      const at = Math.floor(clock.now() / 1000)
      const exp = at + expirationSeconds
      const account: AccountClaims = { namespace, serviceaccount: { name, uid } }
      const token = await new SignJWT({
        iss: serviceAccountIssuer,
        sub: serviceAccountName(namespace, name),
        aud: [...audiences],
        iat: at,
        nbf: at - clockSkewSeconds,
        exp,
        jti: randomUUID(),
        'kubernetes.io': account,
      })
        .setProtectedHeader({ alg: 'ES256', kid, typ: 'JWT' })
        .sign(privateKey)
      return { token, expiresAt: exp * 1000 }
    },
    async authenticate(token) {
      return (await review(token, [apiAudience]))?.principal
    },
  }
}
