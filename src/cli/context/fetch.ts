import { X509Certificate } from 'node:crypto'
import { Agent, request } from 'node:https'
import { Readable } from 'node:stream'
import { Fault, isUntrusted } from '#base/errors'

type Fetch = typeof globalThis.fetch

/** What servers know the command line by: whose the fields are that it writes, and who wrote in the audit trail. */
const program = 'tideway-ctl'

/** How long a server may take to begin its answer. What takes it longest, a backup of much, is far below. */
const patienceMs = 60_000

const remedies: Readonly<Record<string, string>> = {
  ECONNREFUSED:
    "is the server running, and is this its address? 'tideway context list' shows those of contexts",
  ENOTFOUND: 'the host name cannot be resolved',
  CERT_HAS_EXPIRED: "the server's certificate has expired",
  ERR_TLS_CERT_ALTNAME_INVALID: "the server's certificate is for another name than this URL",
}

function remedyOf(error: NodeJS.ErrnoException, caPem: string | undefined): string | undefined {
  if (!isUntrusted(error)) return remedies[error.code ?? '']
  return caPem === undefined
    ? 'no public CA signed its certificate: name its own with --ca-hash, which the server prints at start, or --ca-file'
    : "the server's CA is not the one that was named: add the context again, with the --ca-hash that it prints at start"
}

// OpenSSL takes a text without any certificate for an empty list, and then says only that nothing is trusted.
function expectCertificate(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem)
  } catch (error) {
    throw new Fault('SETTING_INVALID', 'the CA of the server is not a PEM certificate', { cause: error })
  }
}

/** What is sent, as `fetch` would send it. @throws TypeError for what this one cannot send */
function contentOf(body: RequestInit['body']): { content?: string | Uint8Array; type?: string } {
  if (body == null) return {}
  if (body instanceof URLSearchParams) {
    return { content: body.toString(), type: 'application/x-www-form-urlencoded;charset=UTF-8' }
  }
  if (typeof body === 'string' || body instanceof Uint8Array) return { content: body }
  throw new TypeError('a body that is neither text, bytes nor a form cannot be sent')
}

/**
 * A `fetch` that trusts exactly `caPem` (or the public CAs when absent), over kept-alive connections that do not
 * hold the process. The global `fetch` cannot be given a CA without replacing its dispatcher.
 * @throws Fault SETTING_INVALID for a `caPem` that is none; SERVER_UNREACHABLE with what to do about it.
 */
export function openFetch({
  caPem,
  signal: whole,
}: {
  caPem?: string | undefined
  /** Ends every request when it aborts. */
  signal?: AbortSignal | undefined
}): Fetch {
  if (caPem !== undefined) expectCertificate(caPem)
  const agent = new Agent({ keepAlive: true, ...(caPem !== undefined && { ca: caPem }) })
  return async (input, init = {}) => {
    const url = new URL(input instanceof Request ? input.url : input)
    const { method = 'GET' } = init
    const { content, type } = contentOf(init.body)
    const signals = [whole, init.signal].filter((signal) => signal != null)
    const signal = signals.length > 0 ? AbortSignal.any(signals) : undefined
    const headers = {
      'user-agent': program,
      ...(type !== undefined && { 'content-type': type }),
      ...Object.fromEntries(new Headers(init.headers)),
    }
    return await new Promise<Response>((resolve, reject) => {
      const outgoing = request(url, { agent, method, headers, ...(signal && { signal }) }, (incoming) => {
        const fields = Object.entries(incoming.headersDistinct).flatMap(([name, values = []]) =>
          values.map((value): [string, string] => [name, value]),
        )
        const status = incoming.statusCode ?? 500
        const empty = status === 204 || status === 304 || method === 'HEAD'
        if (empty) incoming.resume()
        resolve(
          new Response(empty ? null : (Readable.toWeb(incoming) as ReadableStream<Uint8Array>), {
            status,
            headers: fields,
          }),
        )
      })
      // A server that hangs accepts connections, and would hold whoever calls without a terminal for ever.
      const impatience = setTimeout(
        () => outgoing.destroy(new Error(`no answer within ${patienceMs / 1000} seconds`)),
        patienceMs,
      )
      outgoing.on('response', () => clearTimeout(impatience))
      outgoing.on('error', (error: NodeJS.ErrnoException) => {
        clearTimeout(impatience)
        if (signal?.aborted) return reject(signal.reason as Error)
        const hint = remedyOf(error, caPem)
        reject(
          new Fault(
            'SERVER_UNREACHABLE',
            `${url.origin}: ${error.message || (error.code ?? 'connection failed')}`,
            {
              cause: error,
              ...(hint !== undefined && { hint }),
            },
          ),
        )
      })
      outgoing.end(content)
    })
  }
}
