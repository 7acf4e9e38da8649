import type { Fault, FaultCode } from '#base/errors'
import { formatResponseHead, type HeaderField, type RequestHead } from '#wire/http1'

/** Why a request is answered by us instead of being sent. `reason` is for the workload's eyes too. */
export interface Refusal {
  readonly status: number
  readonly code: FaultCode
  readonly reason: string
  /** The connection cannot be used after it. */
  readonly closes?: boolean
}

/** For what was wrong about a body that was being sent; 400 for all else. */
const statuses: Partial<Record<FaultCode, number>> = { WIRE_TOO_LARGE: 413, BUFFERS_EXHAUSTED: 503 }

/** What to answer when a request that was under way came to nothing: whose fault it was. */
export function failure({ reason, fault }: { reason: string; fault?: Fault }): Refusal {
  if (!fault) return { status: 502, code: 'UPSTREAM_UNREACHABLE', reason, closes: true }
  return { status: statuses[fault.code] ?? 400, code: fault.code, reason, closes: true }
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

interface Form {
  readonly type: string
  readonly write: (code: string, message: string) => string
}

const text: Form = { type: 'text/plain; charset=utf-8', write: (_, message) => message }
const json: Form = {
  type: 'application/json',
  write: (code, message) => JSON.stringify({ __type: code, message }),
}
const xml: Form = {
  type: 'application/xml',
  write: (code, message) =>
    `<ErrorResponse><Error><Code>${code}</Code><Message>${escapeXml(message)}</Message></Error></ErrorResponse>`,
}

function escapeXml(value: string): string {
  return value.replace(/[<>&]/g, (character) => `&#${character.charCodeAt(0)};`)
}

/** AWS clients show code and message of the error form of their protocol, and nothing of any other text. */
function formFor(head: RequestHead | undefined): Form {
  let form = text
  for (const { name, value } of head?.headers ?? []) {
    if ((name === 'accept' || name === 'content-type') && value.includes('json')) return json
    if (name === 'amz-sdk-invocation-id') form = xml
  }
  return form
}

/** gRPC statuses for those of HTTP: internal, permission denied, resource exhausted, unimplemented, unavailable. */
const grpcStatuses: Readonly<Record<number, number>> = { 400: 13, 403: 7, 413: 8, 501: 12, 502: 14, 503: 14 }
const grpcUnknown = 2

/** A gRPC client shows the status and message of its own protocol only: here without a response before them. */
function grpcHeaders({ status, reason }: Refusal): HeaderField[] {
  const message = `tideway: ${reason}`.replace(/[^ -$&-~]/gu, encodeURIComponent)
  return [
    { name: 'Content-Type', value: 'application/grpc' },
    { name: 'Content-Length', value: '0' },
    { name: 'grpc-status', value: String(grpcStatuses[status] ?? grpcUnknown) },
    { name: 'grpc-message', value: message },
  ]
}

function speaksGrpc(head: RequestHead | undefined): boolean {
  const type = head?.headers.find(({ name }) => name === 'content-type')
  return type?.value.startsWith('application/grpc') === true
}

/** The whole answer for a refusal; `close` says so to the client. */
export function formatRefusal(
  refusal: Refusal,
  { head, close }: { head: RequestHead | undefined; close: boolean },
): Buffer {
  const { status, code, reason } = refusal
  const common = [
    { name: 'Cache-Control', value: 'no-store' },
    { name: 'x-tideway-error', value: code },
    ...(close ? [{ name: 'Connection', value: 'close' }] : []),
  ]
  if (speaksGrpc(head))
    return formatResponseHead({ status: 200, headers: [...grpcHeaders(refusal), ...common] })
  const { type, write } = formFor(head)
  const body = Buffer.from(`${write(code, `tideway: ${reason}`)}\n`)
  const bytes = formatResponseHead({
    status,
    reason: phrases[status] ?? '',
    headers: [
      { name: 'Content-Type', value: type },
      { name: 'Content-Length', value: String(body.length) },
      ...common,
    ],
  })
  return head?.method === 'HEAD' ? bytes : Buffer.concat([bytes, body])
}
