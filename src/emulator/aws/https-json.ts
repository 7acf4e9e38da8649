import { request } from 'node:https'
import { rootCertificates } from 'node:tls'

const timeoutMs = 5000
const maxBytes = 1 << 20

/** Why a document could not be had: nobody answered, or the answer is not one to use. */
export class FetchError extends Error {
  readonly reason: 'unreachable' | 'unusable'

  constructor(reason: 'unreachable' | 'unusable', message: string, options?: ErrorOptions) {
    super(message, options)
    this.reason = reason
  }
}

/**
 * GETs a JSON document over verified TLS. No redirects, 1 MiB, 5 s. `extraCa` is PEM trusted beside the public roots.
 * @throws FetchError
 */
export async function getJson(url: URL, extraCa: string | undefined): Promise<Record<string, unknown>> {
  if (url.protocol !== 'https:') throw new FetchError('unusable', `${url.href} is not https`)
  const text = await getText(url, [...rootCertificates, ...(extraCa === undefined ? [] : [extraCa])])
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>
  } catch (error) {
    throw new FetchError('unusable', `${url.href} is not JSON`, { cause: error })
  }
  throw new FetchError('unusable', `${url.href} is not a JSON object`)
}

function getText(url: URL, ca: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (reason: FetchError['reason'], text: string, cause?: unknown) =>
      reject(new FetchError(reason, `${url.href}: ${text}`, { cause }))
    const options = { ca, agent: false as const, timeout: timeoutMs, signal: AbortSignal.timeout(timeoutMs) }
    const outgoing = request(url, options, (response) => {
      const parts: Buffer[] = []
      let size = 0
      response.on('data', (part: Buffer) => {
        size += part.length
        if (size > maxBytes) outgoing.destroy(new Error('the document is too large'))
        else parts.push(part)
      })
      response.on('error', (error) => fail('unusable', error.message, error))
      response.on('end', () => {
        if (response.statusCode === 200) resolve(Buffer.concat(parts).toString('utf8'))
        else fail('unusable', `status ${response.statusCode}`)
      })
    })
    outgoing.on('error', (error: NodeJS.ErrnoException) => {
      const unreachable = /^(ECONN|ENOTFOUND|EAI_|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ABORT_ERR)/.test(
        error.code ?? '',
      )
      fail(unreachable ? 'unreachable' : 'unusable', error.message, error)
    })
    outgoing.end()
  })
}
