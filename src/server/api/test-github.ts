import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import {
  clockSkew,
  customFetch,
  discovery,
  enableNonRepudiationChecks,
  None,
  type Configuration,
} from 'openid-client'
import { core } from './test-objects.ts'
import { openTestServer, type Answer, type TestServer } from './test-server.ts'

export const secret = 'the client secret'
export const redirectUri = 'http://127.0.0.1:4711/callback'
export const issuerPath = '/login/providers/hub'

export interface Person {
  readonly id: number
  readonly login: string
  /** By organisation: the slugs of the teams; an invitation that was not accepted is no membership. */
  readonly orgs: Readonly<Record<string, { state: 'active' | 'pending'; teams: string[] }>>
}

/**
 * GitHub as its documents have it ("Authorizing OAuth apps", REST API "Organization members" and "Teams"), on
 * loopback: whoever comes is the person of the moment, and agrees.
 */
async function openGitHub() {
  const hub = { person: undefined as Person | undefined, asked: [] as string[] }
  const codes = new Map<string, { challenge: string; redirectUri: string }>()
  const tokens = new Map<string, Person>()
  const server = createServer((request, response) => void answer(request, response))

  async function answer(request: IncomingMessage, response: ServerResponse) {
    const { pathname, searchParams } = new URL(request.url!, 'http://hub')
    const send = (status: number, body: unknown) => response.writeHead(status).end(JSON.stringify(body))
    hub.asked.push(`${request.method} ${pathname}`)
    if (pathname === '/login/oauth/access_token') {
      const form = new URLSearchParams(await text(request))
      const known = codes.get(form.get('code')!)
      const challenge = createHash('sha256').update(form.get('code_verifier')!).digest('base64url')
      // GitHub says 200 when it refuses.
      if (form.get('client_secret') !== secret) return send(200, { error: 'incorrect_client_credentials' })
      if (known?.challenge !== challenge || known.redirectUri !== form.get('redirect_uri'))
        return send(200, { error: 'bad_verification_code' })
      codes.delete(form.get('code')!)
      const token = `gho_${randomBytes(8).toString('hex')}`
      tokens.set(token, hub.person!)
      return send(200, { access_token: token, token_type: 'bearer', scope: 'read:org' })
    }
    const person = tokens.get(request.headers.authorization?.replace('Bearer ', '') ?? '')
    if (!person) return send(401, { message: 'Bad credentials' })
    if (pathname === '/api/v3/user') return send(200, { id: person.id, login: person.login })
    const org = /^\/api\/v3\/user\/memberships\/orgs\/([^/]+)$/.exec(pathname)?.[1]
    if (org !== undefined) {
      const found = Object.entries(person.orgs).find(([name]) => name.toLowerCase() === org.toLowerCase())
      if (!found) return send(404, { message: 'Not Found' })
      return send(200, { state: found[1].state, organization: { login: found[0] } })
    }
    const teams = Object.entries(person.orgs).flatMap(([login, { teams }]) =>
      teams.map((slug) => ({ slug, name: slug.toUpperCase(), organization: { login } })),
    )
    const [page, size] = [Number(searchParams.get('page')), Number(searchParams.get('per_page'))]
    if (pathname === '/api/v3/user/teams') return send(200, teams.slice((page - 1) * size, page * size))
    return send(404, {})
  }

  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    hub,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    /** What the browser brings back from GitHub's page. */
    agree(location: string): string {
      const { searchParams } = new URL(location)
      const code = randomBytes(8).toString('hex')
      const back = searchParams.get('redirect_uri')!
      codes.set(code, { challenge: searchParams.get('code_challenge')!, redirectUri: back })
      return `${new URL(back).pathname}?${new URLSearchParams({ code, state: searchParams.get('state')! }).toString()}`
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

export const ada: Person = {
  id: 42,
  login: 'ada',
  orgs: { Acme: { state: 'active', teams: ['platform', 'web'] }, Other: { state: 'active', teams: ['x'] } },
}

export async function openBed(github: object = {}) {
  await using stack = new AsyncDisposableStack()
  const server = stack.use(await openTestServer())
  const provider = stack.use(await openGitHub())
  const { client } = server
  await client.create({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'hub' },
    stringData: { secret },
  })
  await client.create({
    apiVersion: core,
    kind: 'IdentityProvider',
    metadata: { name: 'hub' },
    spec: {
      name: 'The hub',
      github: {
        clientID: 'app',
        clientSecretRef: { name: 'hub', key: 'secret' },
        requiredOrgs: [{ name: 'acme' }],
        baseURL: provider.url,
        ...github,
      },
    },
  })
  await client.create({
    apiVersion: core,
    kind: 'OIDCClient',
    metadata: { name: 'cli' },
    spec: {
      native: {},
      identityProvider: 'hub',
      clientID: 'cli',
      redirectUrls: ['http://127.0.0.1/callback'],
    },
  })
  provider.hub.person = ada
  // Written is not yet read: requests are answered from a cache that follows.
  while (!(await server.ask('GET', '/login')).body.includes(issuerPath));
  const owned = stack.move()
  const verifier = randomBytes(32).toString('base64url')
  const wish = {
    client_id: 'cli',
    redirect_uri: redirectUri,
    response_type: 'code',
    scope: 'openid',
    state: 'my state',
    nonce: 'my nonce',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  }
  const get = (path: string, headers: Record<string, string> = {}) =>
    server.ask('GET', path, { authorization: null, headers })

  /** The beginning of a login, as a program opens it in a browser. */
  const begin = (change: object = {}) =>
    get(`${issuerPath}/authorize?${new URLSearchParams({ ...wish, ...change }).toString()}`)
  const redeem = (code: string, change: object = {}) =>
    server.ask('POST', `${issuerPath}/token`, {
      authorization: null,
      contentType: 'application/x-www-form-urlencoded',
      body: new URLSearchParams({
        grant_type: 'authorization_code',
        code,
        code_verifier: verifier,
        redirect_uri: redirectUri,
        client_id: 'cli',
        ...change,
      }).toString(),
    })
  /** Where a browser is sent that comes from GitHub, after a whole login. */
  async function finish(): Promise<URL> {
    const begun = await begin()
    const ended = await get(provider.agree(locationOf(begun)), { cookie: cookieOf(begun) })
    assert.equal(ended.status, 302, ended.body)
    return new URL(locationOf(ended))
  }
  const codeOf = async () => (await finish()).searchParams.get('code')!
  return {
    server,
    provider,
    begin,
    finish,
    codeOf,
    redeem,
    get,
    async tokenOf(): Promise<string> {
      return (JSON.parse((await redeem(await codeOf())).body) as { id_token: string }).id_token
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

export const locationOf = ({ headers }: Answer) => String(headers['location'])
export const cookieOf = ({ headers }: Answer) => String(headers['set-cookie']).split(';', 1)[0]!

export async function whoIs(server: TestServer, token: string) {
  const answer = await server.ask('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {
    body: { spec: { token } },
  })
  return (
    JSON.parse(answer.body) as { status: { user?: { username: string; uid: string; groups: string[] } } }
  ).status.user
}

/** A client that knows OpenID Connect and nothing of this server. */
export async function openClient(server: TestServer): Promise<Configuration> {
  // The server lives in a time of its own.
  const skew = { [clockSkew]: Math.round((server.clock.now() - Date.now()) / 1000) }
  const configuration = await discovery(new URL(server.url + issuerPath), 'cli', skew, None(), {
    async [customFetch](url, { method, body, headers }) {
      const { status, body: answer } = await server.ask(method, url.slice(server.url.length), {
        authorization: null,
        ...(body !== undefined && {
          body: (body as URLSearchParams).toString(),
          contentType: headers['content-type']!,
        }),
      })
      return new Response(answer, { status, headers: { 'content-type': 'application/json' } })
    },
  })
  // With the published keys, as clients do that do not rely on TLS.
  enableNonRepudiationChecks(configuration)
  return configuration
}
