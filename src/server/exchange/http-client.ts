import { request as requestHttp, type RequestOptions } from 'node:http'
import { request as requestHttps } from 'node:https'
import { isIP } from 'node:net'
import { createSecureContext, getCACertificates } from 'node:tls'
import { Fault } from '#base/errors'

/** Dials `address:addressPort` for `host:port`; the name that is verified stays `host`. */
export interface HttpOverride {
  readonly host: string
  readonly port: number
  readonly address: string
  readonly addressPort: number
}

export interface HttpAnswer {
  readonly status: number
  /** Header fields by lower-case name. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
}

/** A client for a few small requests: no redirects, bounded answers, one connection each. */
export interface HttpClient {
  /**
   * Rejects with Node's own error when there is no answer, and with Fault WIRE_TOO_LARGE when the answer is
   * larger than 256 KiB.
   */
  request(
    url: URL,
    options: {
      method: 'GET' | 'POST'
      form?: Readonly<Record<string, string>>
      /** By lower-case name. */
      headers?: Readonly<Record<string, string>>
      signal: AbortSignal
    },
  ): Promise<HttpAnswer>
}

const maxAnswerBytes = 256 * 1024
const timeoutMs = 20_000

// Not URLSearchParams: a space as '+' is not understood by every implementation of STS.
function encodeForm(form: Readonly<Record<string, string>>): string {
  return Object.entries(form)
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .join('&')
}

/** `extraCa`: PEM certificates trusted beside the system's; `overrides` are for stacks on loopback. */
export function openHttpClient({
  extraCa = [],
  overrides = [],
}: {
  extraCa?: readonly string[]
  overrides?: readonly HttpOverride[]
} = {}): HttpClient {
  const secureContext =
    extraCa.length === 0
      ? undefined
      : createSecureContext({ ca: [...getCACertificates('default'), ...extraCa] })

  function optionsFor(url: URL): RequestOptions {
    const secure = url.protocol === 'https:'
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
    const port = Number(url.port || (secure ? 443 : 80))
    const override = overrides.find((item) => item.host === host && item.port === port)
    return {
      protocol: url.protocol,
      host: override?.address ?? host,
      port: override?.addressPort ?? port,
      path: url.pathname + url.search,
      agent: false,
      timeout: timeoutMs,
      ...(secure && {
        ...(isIP(host) === 0 && { servername: host }),
        ...(secureContext && { secureContext }),
      }),
    }
  }

  return {
    request: (url, { method, form, headers, signal }) =>
      new Promise((resolve, reject) => {
        const send = url.protocol === 'https:' ? requestHttps : requestHttp
        const body = form && encodeForm(form)
        const request = send({
          ...optionsFor(url),
          method,
          signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
          headers: {
            host: url.host,
            accept: '*/*',
            'user-agent': 'tideway',
            ...headers,
            ...(body !== undefined && {
              'content-type': 'application/x-www-form-urlencoded',
              'content-length': Buffer.byteLength(body),
            }),
          },
        })
        request.on('error', reject)
        request.on('timeout', () => request.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)))
        request.on('response', (response) => {
          const chunks: Buffer[] = []
          let bytes = 0
          response.on('data', (chunk: Buffer) => {
            bytes += chunk.length
            if (bytes <= maxAnswerBytes) chunks.push(chunk)
            else response.destroy(new Fault('WIRE_TOO_LARGE', `answer of ${url.host} is too large`))
          })
          response.on('error', reject)
          response.on('end', () =>
            resolve({ status: response.statusCode!, headers: response.headers, body: Buffer.concat(chunks) }),
          )
        })
        request.end(body)
      }),
  }
}
