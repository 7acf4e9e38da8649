import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { FastifyPluginAsync, FastifyReply } from 'fastify'
import type { Secret } from '#base/secret'
import type { Log } from '#base/log'
import { allowsRedirect, type GitHubLogin, type OIDCClient } from '#model/resource'
import { openHttpClient } from '#server/exchange'
import { authorizeUrl, identify } from './github.ts'
import { versionOf, type Brokered } from './ports.ts'
import type { SignedClaims } from './signed-claims.ts'
import type { SpentCodes } from './spent-codes.ts'

const flowSeconds = 600
const codeSeconds = 60
const tokenSeconds = 3600

// SECURITY: only for this host, over HTTPS, out of reach of scripts, and not sent along by forms of other sites.
const cookie = '__Host-tideway-login'
const cookieRules = 'Path=/; HttpOnly; Secure; SameSite=Lax'

/** SECURITY: a stranger can begin logins without end: no more of these ask the provider at a time. */
const maxAsking = 32

type Fields = Readonly<Record<string, string | undefined>>

/** A code holds all the groups of somebody. */
const maxFieldLength = 16_384

interface Flow {
  readonly version: string
  readonly clientID: string
  readonly redirectUri: string
  readonly challenge: string
  readonly state: string | undefined
  readonly nonce: string | undefined
  readonly upstream: { readonly state: string; readonly verifier: string }
}

const random = () => randomBytes(32).toString('base64url')
const challengeOf = (verifier: string) => createHash('sha256').update(verifier).digest('base64url')

/** Parameters that are there once; what is there twice is not there (RFC 6749 section 3.1). */
function fieldsOf(parameters: unknown): Fields {
  const entries = Object.entries((parameters ?? {}) as Readonly<Record<string, unknown>>)
  return Object.fromEntries(
    entries.filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string' && entry[1].length <= maxFieldLength,
    ),
  )
}

function isSame(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}

function cookieOf(header: string | undefined): string | undefined {
  const pairs = (header ?? '').split(';').map((pair) => pair.trim())
  return pairs.find((pair) => pair.startsWith(`${cookie}=`))?.slice(cookie.length + 1)
}

/** A page for a person, where there is no program to send him back to. */
const page = (reply: FastifyReply, code: number, text: string) =>
  reply.code(code).type('text/plain; charset=utf-8').send(`${text}\n`)

/** The pages and documents of an OpenID provider for each brokered IdentityProvider. */
export function loginPages({
  brokered,
  claims,
  spent,
  secretOf,
  log,
}: {
  brokered: (name: string) => Brokered | undefined
  claims: SignedClaims
  spent: SpentCodes
  secretOf: (github: GitHubLogin) => Promise<Secret | undefined>
  log: Log
}): FastifyPluginAsync {
  let asking = 0

  const clientOf = ({ clients }: Brokered, clientID: string | undefined): OIDCClient | undefined =>
    clients.find(({ spec }) => spec.clientID === clientID)

  /** Sends a browser back to the program that the login is for (RFC 9207: with who answers). */
  function sendBack(
    reply: FastifyReply,
    { redirectUri, state }: Pick<Flow, 'redirectUri' | 'state'>,
    answer: Fields,
  ) {
    const url = new URL(redirectUri)
    for (const [name, value] of Object.entries({ ...answer, state }))
      if (value !== undefined) url.searchParams.set(name, value)
    return reply.redirect(url.href, 302)
  }

  async function begin(provider: Brokered, query: Fields, reply: FastifyReply) {
    const { github, issuer } = provider
    const client = clientOf(provider, query['client_id'])
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
    const upstream = { state: random(), verifier: random() }
    const flow: Flow = {
      version: versionOf(provider.object),
      clientID: client.spec.clientID!,
      redirectUri,
      challenge,
      state,
      nonce,
      upstream,
    }
    const signed = await claims.sign('flow', { iss: issuer, flow }, flowSeconds)
    const url = authorizeUrl(github, {
      state: upstream.state,
      challenge: challengeOf(upstream.verifier),
      redirectUri: `${issuer}/callback`,
    })
    return reply
      .header('set-cookie', `${cookie}=${signed}; Max-Age=${flowSeconds}; ${cookieRules}`)
      .redirect(url, 302)
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
    void reply.header('set-cookie', `${cookie}=; Max-Age=0; ${cookieRules}`)
    const refuse = (error: string) => sendBack(reply, flow, { error, iss: issuer })
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
      const { upstream: _, ...begun } = flow
      const answer = { iss: issuer, flow: begun, identity }
      return sendBack(reply, flow, { code: await claims.sign('code', answer, codeSeconds), iss: issuer })
    } catch (error) {
      log.warn('login.refused', { provider: object.metadata.name, reason: (error as Error).message })
      return refuse('access_denied')
    } finally {
      asking--
    }
  }

  /** The ID token that a code stands for; undefined when it does not, or not for whoever asks. */
  async function redeem({ object, issuer }: Brokered, form: Fields): Promise<string | undefined> {
    const { code = '', code_verifier: verifier = '', redirect_uri: redirectUri, client_id: clientID } = form
    const payload = await claims.open('code', issuer, code).catch(() => undefined)
    if (!payload) return undefined
    const { flow, identity } = payload as unknown as {
      flow: Omit<Flow, 'upstream'>
      identity: { id: string; username: string; groups: string[] }
    }
    // SECURITY: who has the code has the token only if it was he who began (RFC 7636), and once.
    const fits =
      flow.clientID === clientID &&
      flow.redirectUri === redirectUri &&
      isSame(flow.challenge, challengeOf(verifier)) &&
      flow.version === versionOf(object)
    if (!fits || !(await spent.spend(payload.jti!, payload.exp! * 1000))) return undefined
    const { id, username, groups } = identity
    const token = {
      iss: issuer,
      sub: id,
      aud: flow.clientID,
      ...(flow.nonce !== undefined && { nonce: flow.nonce }),
      preferred_username: username,
      groups,
      version: flow.version,
    }
    return claims.sign('id', token, tokenSeconds)
  }

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
        grant_types_supported: ['authorization_code'],
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
      return goOn(provider, fieldsOf(query), cookieOf(headers.cookie), reply)
    })
    app.post<Named>(`${path}/token`, open, async ({ params, body }, reply) => {
      const provider = brokered(params.name)
      if (!provider) return reply.callNotFound()
      const form = body instanceof URLSearchParams ? fieldsOf(singleFields(body)) : {}
      if (form['grant_type'] !== 'authorization_code')
        return reply.code(400).send({ error: 'unsupported_grant_type' })
      const token = await redeem(provider, form)
      if (token === undefined) return reply.code(400).send({ error: 'invalid_grant' })
      // The resource API takes the ID token; there is nothing else to have access to.
      return { access_token: token, token_type: 'Bearer', expires_in: tokenSeconds, id_token: token }
    })
  }
}

function singleFields(form: URLSearchParams): Record<string, unknown> {
  return Object.fromEntries(
    [...new Set(form.keys())].map((name) => [
      name,
      form.getAll(name).length === 1 ? form.get(name) : undefined,
    ]),
  )
}
