import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair } from 'jose'
import { Provider } from 'oidc-provider'

export interface TestProvider extends AsyncDisposable {
  readonly issuer: string
  /** Of what is issued from now on, in seconds. */
  readonly life: { idToken: number }
  /** What a person does in a browser: signs in, agrees, and follows where that leads; gives the last page. */
  browse(start: string, user?: string): Promise<string>
}

/** A real provider on loopback, with one native client. Who signs in belongs to the group `dev`. */
export async function openProvider(): Promise<TestProvider> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { privateKey } = await generateKeyPair('RS256', { extractable: true })
  const life = { idToken: 3600 }
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: 'tideway',
        application_type: 'native',
        token_endpoint_auth_method: 'none',
        redirect_uris: ['http://127.0.0.1/callback', 'http://localhost'],
        grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
        response_types: ['code'],
      },
    ],
    jwks: { keys: [{ ...(await exportJWK(privateKey)), kid: 'one', use: 'sig', alg: 'RS256' }] },
    cookies: { keys: ['only a test'] },
    features: {
      deviceFlow: { enabled: true },
      devInteractions: { enabled: true },
      revocation: { enabled: true },
    },
    claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups'] },
    conformIdTokenClaims: false,
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@example.org`, email_verified: true, groups: ['dev'] }),
    }),
    rotateRefreshToken: true,
    ttl: { IdToken: () => life.idToken },
  })
  const answer = provider.callback()
  server.on('request', (request, response) => void answer(request, response))

  async function browse(start: string, user = 'ada'): Promise<string> {
    const cookies = new Map<string, string>()
    let [url, form]: [string, URLSearchParams | undefined] = [start, undefined]
    for (let steps = 0; steps < 20; steps++) {
      const response = await fetch(url, {
        redirect: 'manual',
        method: form ? 'POST' : 'GET',
        headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
        ...(form && { body: form }),
      })
      for (const cookie of response.headers.getSetCookie()) {
        const [name, value] = cookie.split(';')[0]!.split('=') as [string, string]
        if (value === '') cookies.delete(name)
        else cookies.set(name, value)
      }
      const target = response.headers.get('location')
      const page = await response.text()
      if (target !== null) {
        url = new URL(target, url).href
        form = undefined
        continue
      }
      const action = /<form[^>]+action="([^"]+)"/.exec(page)?.[1]
      if (action === undefined) return page
      const fields = [...page.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)"/g)]
      form = new URLSearchParams(fields.map(([, name, value]) => [name!, value!]))
      if (page.includes('name="login"')) {
        form.set('login', user)
        form.set('password', 'x')
      }
      url = new URL(action.replaceAll('&amp;', '&'), url).href
    }
    throw new Error(`no end at ${url}`)
  }

  return {
    issuer,
    life,
    browse,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
