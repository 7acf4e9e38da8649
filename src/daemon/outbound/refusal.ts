import type { FaultCode } from '#base/errors'
import { formatResponseHead, type RequestHead } from '#wire/http1'

/** Why a request is answered by us instead of being sent. `reason` is for the workload's eyes too. */
export interface Refusal {
  readonly status: number
  readonly code: FaultCode
  readonly reason: string
  /** The connection cannot be used after it. */
  readonly closes?: boolean
}

const phrases: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  403: 'Forbidden',
  413: 'Content Too Large',
  417: 'Expectation Failed',
  421: 'Misdirected Request',
  431: 'Request Header Fields Too Large',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
}

/** AWS clients of the JSON protocols show `__type` and `message`; the others show nothing but the status. */
function speaksJson(head: RequestHead | undefined): boolean {
  return (
    head?.headers.some(
      ({ name, value }) => (name === 'accept' || name === 'content-type') && value.includes('json'),
    ) ?? false
  )
}

/** The whole answer for a refusal; `close` says so to the client. */
export function formatRefusal(
  { status, code, reason }: Refusal,
  { head, close }: { head: RequestHead | undefined; close: boolean },
): Buffer {
  const json = speaksJson(head)
  const message = `tideway: ${reason}`
  const body = Buffer.from(json ? `${JSON.stringify({ __type: code, message })}\n` : `${message}\n`)
  const bytes = formatResponseHead({
    status,
    reason: phrases[status] ?? '',
    headers: [
      { name: 'Content-Type', value: json ? 'application/json' : 'text/plain; charset=utf-8' },
      { name: 'Content-Length', value: String(body.length) },
      { name: 'Cache-Control', value: 'no-store' },
      { name: 'x-tideway-error', value: code },
      ...(close ? [{ name: 'Connection', value: 'close' }] : []),
    ],
  })
  return head?.method === 'HEAD' ? bytes : Buffer.concat([bytes, body])
}
