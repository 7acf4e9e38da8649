import { createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { createServer, get } from 'node:https'
import type { AddressInfo } from 'node:net'
import { createLocalJWKSet, jwtVerify, type JSONWebKeySet } from 'jose'
import { certificatesToPem, createRootCertificate, issueCertificate } from '#model/pki'

/** What the fake answers: `verify` checks the token for real; else a canned answer. */
export type StsMode =
  | { readonly kind: 'verify' }
  | { readonly kind: 'answer'; readonly status: number; readonly body: string; readonly date?: string }
  | { readonly kind: 'drop' }

export interface FakeSts extends AsyncDisposable {
  readonly url: string
  readonly caPem: string
  /** Where the keys of the issuer are fetched from, and the CA of that. */
  issuer: { readonly url: string; readonly caPem: string } | undefined
  mode: StsMode
  lifetimeSeconds: number
  /** What was asked, form fields by name; tokens included, as this is a test. */
  readonly requests: Record<string, string>[]
}

/** An error answer in the form of AWS. */
export function stsError(status: number, code: string, message: string, date?: string): StsMode {
  const body = `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>${code}</Code><Message>${message}</Message></Error><RequestId>r</RequestId></ErrorResponse>`
  return { kind: 'answer', status, body, ...(date !== undefined && { date }) }
}

function makeCertificate(): { key: string; cert: string; caPem: string } {
  const [rootKey, key] = [1, 2].map(() => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)
  const notBefore = Date.now() - 60_000
  const notAfter = Date.now() + 3_600_000
  const root = createRootCertificate(rootKey!, {
    commonName: 'fake cloud',
    serial: randomBytes(16),
    notBefore,
    notAfter,
    pathLength: 0,
  })
  const leaf = issueCertificate({ certificate: root, key: rootKey! }, createPublicKey(key!), {
    serial: randomBytes(16),
    notBefore,
    notAfter,
    commonName: 'fake sts',
    names: [{ type: 'ip', value: '127.0.0.1' }],
    extendedUsages: ['serverAuth'],
  })
  return {
    key: key!.export({ type: 'pkcs8', format: 'pem' }),
    cert: certificatesToPem([leaf]),
    caPem: certificatesToPem([root]),
  }
}

function fetchJson(url: string, ca: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    get(url, { ca, agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => (text += chunk))
      response.on('end', () => resolve(JSON.parse(text)))
    }).on('error', reject)
  })
}

/** An STS that fetches discovery document and JWKS as a cloud does, and verifies the token with jose. */
export async function openFakeSts(): Promise<FakeSts> {
  const { key, cert, caPem } = makeCertificate()
  let issued = 0

  async function verify(token: string): Promise<void> {
    const { url, caPem } = sts.issuer!
    const discovery = (await fetchJson(`${url}/.well-known/openid-configuration`, caPem)) as {
      jwks_uri: string
    }
    const jwks = (await fetchJson(discovery.jwks_uri, caPem)) as JSONWebKeySet
    await jwtVerify(token, createLocalJWKSet(jwks), {
      issuer: url,
      audience: 'sts.amazonaws.com',
      algorithms: ['RS256'],
    })
  }

  function credentials(): string {
    const expiration = new Date(Date.now() + sts.lifetimeSeconds * 1000).toISOString()
    return `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials><SessionToken>session+/=${issued}</SessionToken><SecretAccessKey>secret-${issued}</SecretAccessKey><Expiration>${expiration}</Expiration><AccessKeyId>ASIAFAKE${++issued}</AccessKeyId></Credentials></AssumeRoleWithWebIdentityResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></AssumeRoleWithWebIdentityResponse>`
  }

  async function answer(form: Readonly<Record<string, string>>, response: ServerResponse): Promise<void> {
    const { mode } = sts
    if (mode.kind === 'drop') return void response.destroy()
    if (mode.kind === 'answer') {
      if (mode.date !== undefined) response.setHeader('date', mode.date)
      return void response.writeHead(mode.status).end(mode.body)
    }
    try {
      await verify(form['WebIdentityToken']!)
      response.writeHead(200).end(credentials())
    } catch (error) {
      response.writeHead(400).end(String(error))
    }
  }

  const server = createServer({ key, cert }, (request, response) => {
    let body = ''
    request.setEncoding('utf8')
    request.on('data', (chunk: string) => (body += chunk))
    request.on('end', () => {
      if (request.method !== 'POST') {
        response.writeHead(400).end()
        return
      }
      const form = Object.fromEntries(new URLSearchParams(body))
      sts.requests.push(form)
      void answer(form, response)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const sts: FakeSts = {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    caPem,
    issuer: undefined,
    mode: { kind: 'verify' },
    lifetimeSeconds: 3600,
    requests: [],
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return sts
}
