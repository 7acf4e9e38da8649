import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { getCACertificates } from 'node:tls'
import {
  allowInsecureRequests,
  authorizationCodeGrant,
  buildAuthorizationUrl,
  calculatePKCECodeChallenge,
  customFetch,
  discovery,
  initiateDeviceAuthorization,
  None,
  pollDeviceAuthorizationGrant,
  randomNonce,
  randomPKCECodeVerifier,
  randomState,
  refreshTokenGrant,
  tokenRevocation,
  type Configuration,
  type TokenEndpointResponse,
} from 'openid-client'
import { Fault, isFault } from '#base/errors'
import type { LoginClient } from '#model/access'
import { openFetch } from './fetch.ts'
import type { Login } from './login-file.ts'

/** How to reach whoever logs in. */
export interface LoginSurroundings {
  readonly signal: AbortSignal
  readonly say: (text: string) => void
  /** Shows a page; absent where there is no browser to do it. */
  readonly openBrowser?: ((url: string) => void) | undefined
}

const loginTimeoutMs = 300_000

/** Where people log in at a server. @throws Fault SERVER_UNREACHABLE, SETTING_INVALID when nowhere */
export async function fetchLoginClient({
  server,
  caPem,
  signal,
}: {
  server: string
  caPem?: string | undefined
  signal: AbortSignal
}): Promise<LoginClient> {
  const response = await openFetch({ caPem, signal })(`${server}/login`)
  if (!response.ok) throw new Fault('SERVER_UNREACHABLE', `${server} answers with status ${response.status}`)
  const { clients } = (await response.json()) as { clients: LoginClient[] }
  const [client, ...others] = clients
  if (!client) {
    throw new Fault('SETTING_INVALID', `nobody can log in at ${server}: it has no OIDCClient`, {
      hint: 'create an IdentityProvider and an OIDCClient (docs/access.md), or give a token with --token-file',
    })
  }
  if (others.length > 0) {
    const names = clients.map(({ name }) => name).join(', ')
    throw new Fault('SETTING_INVALID', `${server} has several OIDCClients: ${names}`, {
      hint: 'keep the one that people are to use',
    })
  }
  return client.ownIssuer && caPem !== undefined ? { ...client, caBundle: caPem } : client
}

async function configurationOf(
  { issuer, clientID, caBundle }: Pick<LoginClient, 'issuer' | 'clientID' | 'caBundle'>,
  signal: AbortSignal,
): Promise<Configuration> {
  const caPem = caBundle === undefined ? undefined : [...getCACertificates('default'), caBundle].join('\n')
  const plain = issuer.startsWith('http:')
  const fetch = plain ? globalThis.fetch : openFetch({ caPem, signal })
  return await discovery(new URL(issuer), clientID, undefined, None(), {
    [customFetch]: (url, init) => fetch(url, init as RequestInit),
    // The server lets plain issuers be on loopback only.
    ...(plain && { execute: [allowInsecureRequests] }),
  })
}

function loginFrom(client: LoginClient | Login, tokens: TokenEndpointResponse, before?: Login): Login {
  const { issuer, clientID, caBundle } = client
  if (tokens.id_token === undefined) {
    throw new Fault('API_UNAUTHENTICATED', `${issuer} gave no ID token`, { hint: 'log in again' })
  }
  const refreshToken = tokens.refresh_token ?? before?.refreshToken
  return {
    issuer,
    clientID,
    ...(caBundle !== undefined && { caBundle }),
    idToken: tokens.id_token,
    ...(refreshToken !== undefined && { refreshToken }),
  }
}

/** A failure of the provider in words; SECURITY: its own texts may quote what was sent, so only their code is shown. */
function refused(issuer: string, error: unknown): Fault {
  if (isFault(error)) return error
  const { error: code, message } = error as { error?: unknown; message?: string }
  const why = typeof code === 'string' ? code : (message ?? 'no answer')
  return new Fault('API_UNAUTHENTICATED', `${issuer} refused the login: ${why}`, { cause: error })
}

const scopeOf = ({ scopes }: LoginClient) => ({
  scope: scopes.join(' '),
  // OpenID Connect Core section 11: without it there is no offline access.
  ...(scopes.includes('offline_access') && { prompt: 'consent' }),
})

/**
 * Answers the browser that comes back, and gives its URL.
 * SECURITY: any page and any user of this machine can ask the port; without the state of this login he ends nothing.
 */
async function openRedirect(state: string, signal: AbortSignal) {
  const arrived = Promise.withResolvers<URL>()
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const url = new URL(request.url ?? '/', 'http://127.0.0.1')
    const ours =
      request.method === 'GET' && url.pathname === '/callback' && url.searchParams.get('state') === state
    response
      .writeHead(ours ? 200 : 404, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' })
      .end(ours ? 'This window can be closed: the command line goes on.\n' : 'not found\n')
    if (ours) arrived.resolve(url)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening', { signal })
  const redirectUri = `http://127.0.0.1:${(server.address() as AddressInfo).port}/callback`
  signal.addEventListener('abort', () => arrived.reject(signal.reason as Error), { once: true })
  return {
    redirectUri,
    arrived: arrived.promise,
    [Symbol.dispose]() {
      server.close()
      server.closeAllConnections()
    },
  }
}

/** Logs in by a browser on this machine: authorization code with PKCE to a loopback port (RFC 8252). */
export async function loginByBrowser(client: LoginClient, surroundings: LoginSurroundings): Promise<Login> {
  const signal = AbortSignal.any([surroundings.signal, AbortSignal.timeout(loginTimeoutMs)])
  try {
    const configuration = await configurationOf(client, signal)
    const [pkceCodeVerifier, expectedState, expectedNonce] = [
      randomPKCECodeVerifier(),
      randomState(),
      randomNonce(),
    ]
    using redirect = await openRedirect(expectedState, signal)
    const url = buildAuthorizationUrl(configuration, {
      redirect_uri: redirect.redirectUri,
      ...scopeOf(client),
      code_challenge: await calculatePKCECodeChallenge(pkceCodeVerifier),
      code_challenge_method: 'S256',
      state: expectedState,
      nonce: expectedNonce,
    })
    surroundings.say(`log in at ${client.provider}:\n  ${url.href}`)
    surroundings.openBrowser?.(url.href)
    const { search } = await redirect.arrived
    const callback = new URL(redirect.redirectUri + search)
    const checks = { pkceCodeVerifier, expectedState, expectedNonce, idTokenExpected: true }
    return loginFrom(client, await authorizationCodeGrant(configuration, callback, checks))
  } catch (error) {
    surroundings.signal.throwIfAborted()
    throw refused(client.issuer, error)
  }
}

/** Logs in by a browser anywhere else: the device flow (RFC 8628). */
export async function loginByDevice(client: LoginClient, surroundings: LoginSurroundings): Promise<Login> {
  const signal = AbortSignal.any([surroundings.signal, AbortSignal.timeout(loginTimeoutMs)])
  try {
    const configuration = await configurationOf(client, signal)
    const device = await initiateDeviceAuthorization(configuration, scopeOf(client))
    const { verification_uri: where, verification_uri_complete: complete, user_code: code } = device
    surroundings.say(
      `log in at ${client.provider}, on any device:\n  ${where}\nand enter the code ${code}` +
        (complete === undefined ? '' : `, or open\n  ${complete}`),
    )
    return loginFrom(client, await pollDeviceAuthorizationGrant(configuration, device, undefined, { signal }))
  } catch (error) {
    surroundings.signal.throwIfAborted()
    throw refused(client.issuer, error)
  }
}

/** The next ID token of a login. @throws Fault API_UNAUTHENTICATED when somebody must log in again */
export async function refreshLogin(login: Login, signal: AbortSignal): Promise<Login> {
  const again = { hint: "log in again: 'tideway context login'" }
  if (login.refreshToken === undefined) {
    throw new Fault('API_UNAUTHENTICATED', 'the login has expired', again)
  }
  try {
    const configuration = await configurationOf(login, signal)
    return loginFrom(login, await refreshTokenGrant(configuration, login.refreshToken), login)
  } catch (error) {
    signal.throwIfAborted()
    const { message } = refused(login.issuer, error)
    throw new Fault('API_UNAUTHENTICATED', message, { ...again, cause: error })
  }
}

/**
 * Ends a login where it was given, so that nobody can refresh it. Says whether that was so: not every issuer lets
 * programs do it (RFC 7009).
 * @throws Fault API_UNAUTHENTICATED when the issuer does not answer as it should
 */
export async function endLogin(login: Login, signal: AbortSignal): Promise<boolean> {
  if (login.refreshToken === undefined) return false
  try {
    const configuration = await configurationOf(login, signal)
    if (configuration.serverMetadata().revocation_endpoint === undefined) return false
    await tokenRevocation(configuration, login.refreshToken, { token_type_hint: 'refresh_token' })
    return true
  } catch (error) {
    signal.throwIfAborted()
    throw refused(login.issuer, error)
  }
}
