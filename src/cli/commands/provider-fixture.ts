import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair } from 'jose'
import { Provider } from 'oidc-provider'
import { openFetch } from '#cli/context'
import { createSelfSignedCertificate } from '#model/pki'

export interface TestProvider extends AsyncDisposable {
  readonly issuer: string
  /** PEM of its certificate; undefined over plain HTTP. */
  readonly caPem: string | undefined
  /** Of what is issued from now on, in seconds. */
  readonly life: { idToken: number }
  /** What a person does in a browser: signs in, agrees, and follows where that leads; gives the last page. */
  browse(start: string, user?: string): Promise<string>
}

function makeCertificate(): { key: string; cert: string } {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const certificate = createSelfSignedCertificate(privateKey, {
    serial: randomBytes(16),
    notBefore: Date.now() - 60_000,
    notAfter: Date.now() + 3_600_000,
    commonName: 'provider',
    names: [{ type: 'ip', value: '127.0.0.1' }],
    extendedUsages: ['serverAuth'],
  })
  return { key: privateKey.export({ type: 'pkcs8', format: 'pem' }), cert: certificate.toString() }
}

/** A real provider on loopback, with one native client. Who signs in belongs to the group `dev`. */
export async function openProvider(scheme: 'https' | 'http' = 'https'): Promise<TestProvider> {
  const tls = scheme === 'https' ? makeCertificate() : undefined
  const server = tls ? createSecureServer(tls) : createServer()
  const secureFetch = openFetch({ caPem: tls?.cert })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const issuer = `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`
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
      // The last page is the command line's own, on a plain port of loopback.
      const request = url.startsWith('https:') ? secureFetch : fetch
      const response = await request(url, {
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
    caPem: tls?.cert,
    life,
    browse,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
