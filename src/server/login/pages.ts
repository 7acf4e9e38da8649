import { createHash } from 'node:crypto'
import type { FastifyPluginAsync, FastifyReply } from 'fastify'
import type { Clock } from '#base/clock'
import type { Secret } from '#base/secret'
import type { Log } from '#base/log'
import { allowsRedirect, type GitHubLogin } from '#model/resource'
import { openHttpClient } from '#server/exchange'
import {
  cookieOf,
  deviceCookie,
  fieldsOf,
  flowSeconds,
  formOf,
  isSame,
  keep,
  loginCookie,
  page,
  random,
  type Fields,
} from './browser.ts'
import { deviceGrant, openDeviceFlow } from './device-flow.ts'
import type { DeviceLogins } from './device-logins.ts'
import { authorizeUrl, identify, type Identity } from './github.ts'
import { clientOf, versionOf, type Brokered, type Granted, type Redeemed } from './ports.ts'
import type { SignedClaims } from './signed-claims.ts'
import type { SpentCodes } from './spent-codes.ts'

const codeSeconds = 60
const tokenSeconds = 3600

/** SECURITY: a stranger can begin logins without end: no more of these ask the provider at a time. */
const maxAsking = 32

/** A login for a program to which the browser is sent back. */
interface Return {
  readonly clientID: string
  readonly redirectUri: string
  readonly challenge: string
  readonly state: string | undefined
  readonly nonce: string | undefined
}

interface Flow {
  readonly version: string
  /** For whom: a program that waits for the browser, or one that waits for what becomes of a code (its hash). */
  readonly back?: Return
  readonly device?: string
  readonly upstream: { readonly state: string; readonly verifier: string }
}

const challengeOf = (verifier: string) => createHash('sha256').update(verifier).digest('base64url')

/** The pages and documents of an OpenID provider for each brokered IdentityProvider. */
export function loginPages({
  brokered,
  claims,
  spent,
  devices,
  secretOf,
  clock,
  log,
}: {
  brokered: (name: string) => Brokered | undefined
  claims: SignedClaims
  spent: SpentCodes
  devices: DeviceLogins
  secretOf: (github: GitHubLogin) => Promise<Secret | undefined>
  clock: Clock
  log: Log
}): FastifyPluginAsync {
  let asking = 0

  const device = openDeviceFlow({ claims, devices, clock })

  /** Sends a browser back to the program that the login is for (RFC 9207: with who answers). */
  function sendBack(
    reply: FastifyReply,
    { redirectUri, state }: Pick<Return, 'redirectUri' | 'state'>,
    answer: Fields,
  ) {
    const url = new URL(redirectUri)
    for (const [name, value] of Object.entries({ ...answer, state }))
      if (value !== undefined) url.searchParams.set(name, value)
    return reply.redirect(url.href, 302)
  }

  async function begin(provider: Brokered, query: Fields, reply: FastifyReply) {
    const { issuer } = provider
    const clientID = query['client_id'] ?? ''
    const client = clientOf(provider, clientID)
    const redirectUri = query['redirect_uri'] ?? ''
    // SECURITY: nobody is sent to a URL that is not registered, not even with an error.
    if (!client || !allowsRedirect(client.spec.redirectUrls, redirectUri)) {
      return page(reply, 400, 'This login is for a program that is not registered here.')
    }
    const { state, nonce, code_challenge: challenge = '', scope = '' } = query
    const refuse = (error: string) => sendBack(reply, { redirectUri, state }, { error, iss: issuer })
    if (query['response_type'] !== 'code') return refuse('unsupported_response_type')
    if (!scope.split(' ').includes('openid')) return refuse('invalid_scope')
    if (query['code_challenge_method'] !== 'S256' || !/^[\w-]{43}$/.test(challenge))
      return refuse('invalid_request')
    return sendUpstream(provider, reply, {
      back: { clientID, redirectUri, challenge, state, nonce },
    })
  }

  /** Sends a browser to log in at the provider. */
  async function sendUpstream(
    { github, issuer, object }: Brokered,
    reply: FastifyReply,
    purpose: Pick<Flow, 'back' | 'device'>,
  ) {
    const upstream = { state: random(), verifier: random() }
    const flow: Flow = { ...purpose, version: versionOf(object), upstream }
    const signed = await claims.sign('flow', { iss: issuer, flow }, flowSeconds)
    const url = authorizeUrl(github, {
      state: upstream.state,
      challenge: challengeOf(upstream.verifier),
      redirectUri: `${issuer}/callback`,
    })
    return keep(reply, loginCookie, signed).redirect(url, 302)
  }

  /** The login that this browser began at this provider; undefined when it is another, or too long ago. */
  async function flowOf({ object, issuer }: Brokered, signed: string | undefined, state: string) {
    try {
      const { flow } = (await claims.open('flow', issuer, signed ?? '')) as { flow: Flow }
      return isSame(flow.upstream.state, state) && flow.version === versionOf(object) ? flow : undefined
    } catch {
      return undefined
    }
  }

  async function goOn(provider: Brokered, query: Fields, signed: string | undefined, reply: FastifyReply) {
    const { github, issuer, object } = provider
    const flow = await flowOf(provider, signed, query['state'] ?? '')
    // SECURITY: a browser that has not begun this login is being led to finish somebody else's.
    if (!flow)
      return page(reply, 400, 'This login was not begun in this browser, or too long ago: begin again.')
    keep(reply, loginCookie, '')
    const { back, device: userCode, version } = flow
    const refuse = (error: string) =>
      back
        ? sendBack(reply, back, { error, iss: issuer })
        : page(reply, 403, `You are not let in (${error}). The program on the other device waits: try again.`)
    const { code } = query
    if (code === undefined) return refuse('access_denied')
    if (asking >= maxAsking) return refuse('temporarily_unavailable')
    asking++
    try {
      const clientSecret = await secretOf(github)
      if (!clientSecret) return refuse('server_error')
      const http = openHttpClient({ extraCa: github.caBundle === undefined ? [] : [github.caBundle] })
      const given = { code, verifier: flow.upstream.verifier, redirectUri: `${issuer}/callback` }
      const identity = await identify(github, given, { http, clientSecret })
      if (!back) return await device.approve(userCode!, { version, identity }, reply)
      const answer = { iss: issuer, flow: { ...back, version }, identity }
      return sendBack(reply, back, { code: await claims.sign('code', answer, codeSeconds), iss: issuer })
    } catch (error) {
      log.warn('login.refused', { provider: object.metadata.name, reason: (error as Error).message })
      return refuse('access_denied')
    } finally {
      asking--
    }
  }

  /** Who has logged in for the program that has a code, unless that is another program. */
  async function redeem({ object, issuer }: Brokered, form: Fields): Promise<Redeemed> {
    const { code = '', code_verifier: verifier = '', redirect_uri: redirectUri, client_id: clientID } = form
    const payload = await claims.open('code', issuer, code).catch(() => undefined)
    if (!payload) return { error: 'invalid_grant' }
    const { flow, identity } = payload as unknown as {
      flow: Return & Pick<Flow, 'version'>
      identity: Identity
    }
    // SECURITY: who has the code has the token only if it was he who began (RFC 7636), and once.
    const fits =
      flow.clientID === clientID &&
      flow.redirectUri === redirectUri &&
      isSame(flow.challenge, challengeOf(verifier)) &&
      flow.version === versionOf(object)
    if (!fits || !(await spent.spend(payload.jti!, payload.exp! * 1000))) return { error: 'invalid_grant' }
    const { clientID: audience, nonce, version } = flow
    return { granted: { identity, clientID: audience, nonce, version } }
  }

  function idToken(
    { issuer }: Brokered,
    { identity: { id, username, groups }, clientID, nonce, version }: Granted,
  ): Promise<string> {
    const token = {
      iss: issuer,
      sub: id,
      aud: clientID,
      ...(nonce !== undefined && { nonce }),
      preferred_username: username,
      groups,
      version,
    }
    return claims.sign('id', token, tokenSeconds)
  }

  // SECURITY: no object, for strangers name what is looked up, and every object has `constructor`.
  const grants = new Map([
    ['authorization_code', redeem],
    [deviceGrant, device.redeem],
  ])
  const unsupported: typeof redeem = async () => ({ error: 'unsupported_grant_type' })

  return async (app) => {
    const open = { config: { public: true } }
    const parsing = { parseAs: 'string', bodyLimit: 32_768 } as const
    app.addContentTypeParser<string>('application/x-www-form-urlencoded', parsing, (_, body, done) => {
      done(null, new URLSearchParams(body))
    })
    const path = '/login/providers/:name'
    type Named = { Params: { name: string }; Querystring: Record<string, unknown> }

    app.get<Named>(`${path}/.well-known/openid-configuration`, open, ({ params }, reply) => {
      const provider = brokered(params.name)
      if (!provider) return reply.callNotFound()
      const { issuer } = provider
      return {
        issuer,
        authorization_endpoint: `${issuer}/authorize`,
        token_endpoint: `${issuer}/token`,
        jwks_uri: `${issuer}/keys`,
        response_types_supported: ['code'],
        device_authorization_endpoint: `${issuer}/device_authorization`,
        grant_types_supported: [...grants.keys()],
        subject_types_supported: ['public'],
        id_token_signing_alg_values_supported: ['ES256'],
        scopes_supported: ['openid'],
        token_endpoint_auth_methods_supported: ['none'],
        code_challenge_methods_supported: ['S256'],
        authorization_response_iss_parameter_supported: true,
      }
    })
    app.get<Named>(`${path}/keys`, open, async ({ params }, reply) =>
      brokered(params.name) ? { keys: [await claims.publicJwk()] } : reply.callNotFound(),
    )
    app.get<Named>(`${path}/authorize`, open, ({ params, query }, reply) => {
      const provider = brokered(params.name)
      return provider ? begin(provider, fieldsOf(query), reply) : reply.callNotFound()
    })
    app.get<Named>(`${path}/callback`, open, ({ params, query, headers }, reply) => {
      const provider = brokered(params.name)
      if (!provider) return reply.callNotFound()
      return goOn(provider, fieldsOf(query), cookieOf(headers.cookie, loginCookie), reply)
    })
    app.post<Named>(`${path}/device_authorization`, open, ({ params, body }, reply) => {
      const provider = brokered(params.name)
      return provider ? device.begin(provider, formOf(body), reply) : reply.callNotFound()
    })
    app.get<Named>(`${path}/device`, open, ({ params, query }, reply) =>
      brokered(params.name) ? device.askForCode(fieldsOf(query), reply) : reply.callNotFound(),
    )
    app.post<Named>(`${path}/device`, open, ({ params, body, headers }, reply) => {
      const provider = brokered(params.name)
      if (!provider) return reply.callNotFound()
      const code = device.readCode(formOf(body), cookieOf(headers.cookie, deviceCookie), reply)
      return code === undefined ? reply : sendUpstream(provider, reply, { device: code })
    })
    app.post<Named>(`${path}/token`, open, async ({ params, body }, reply) => {
      const provider = brokered(params.name)
      if (!provider) return reply.callNotFound()
      const form = formOf(body)
      const redeemed = await (grants.get(form['grant_type'] ?? '') ?? unsupported)(provider, form)
      if ('error' in redeemed) return reply.code(400).send(redeemed)
      const token = await idToken(provider, redeemed.granted)
      // The resource API takes the ID token; there is nothing else to have access to.
      return { access_token: token, token_type: 'Bearer', expires_in: tokenSeconds, id_token: token }
    })
  }
}
