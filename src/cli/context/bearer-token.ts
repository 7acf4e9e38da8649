import { decodeJwt } from 'jose'
import type { Clock, EpochMs } from '#base/clock'
import { Fault } from '#base/errors'
import type { Context } from './kubeconfig.ts'
import { loadLogin, saveLogin, withLoginLock, type Login } from './login-file.ts'
import { refreshLogin } from './login.ts'

export interface BearerToken {
  readonly token: string
  /** When it expires; absent for tokens that say nothing about it. */
  readonly expiresAt?: EpochMs
}

/** So much of a token's life is kept for the request that it is for. */
const marginMs = 20_000

function expiryOf(token: string): EpochMs | undefined {
  try {
    const { exp } = decodeJwt(token)
    return exp === undefined ? undefined : exp * 1000
  } catch {
    return undefined
  }
}

const tokenFrom = (token: string): BearerToken => {
  const expiresAt = expiryOf(token)
  return { token, ...(expiresAt !== undefined && { expiresAt }) }
}

/**
 * The token to use with a context now: its own, or the ID token of its login, refreshed when it is about to expire.
 * @throws Fault API_UNAUTHENTICATED when somebody must log in
 */
export async function bearerToken(
  { name, token }: Context,
  { contextsFile, clock, signal }: { contextsFile: string; clock: Clock; signal: AbortSignal },
): Promise<BearerToken> {
  if (token !== undefined) return tokenFrom(token)
  const isFresh = ({ idToken }: Login) => (expiryOf(idToken) ?? Infinity) - clock.now() > marginMs
  const known = loadLogin(contextsFile, name)
  if (known && isFresh(known)) return tokenFrom(known.idToken)
  return await withLoginLock(contextsFile, name, { clock, signal }, async () => {
    // Another process may have refreshed it while this one waited.
    const login = loadLogin(contextsFile, name)
    if (!login) {
      throw new Fault('API_UNAUTHENTICATED', `nobody is logged in to context ${JSON.stringify(name)}`, {
        hint: `tideway context login ${name}`,
      })
    }
    if (isFresh(login)) return tokenFrom(login.idToken)
    const next = await refreshLogin(login, signal)
    saveLogin(contextsFile, name, next)
    return tokenFrom(next.idToken)
  })
}
