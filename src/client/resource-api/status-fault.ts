import { Fault, type FaultCode } from '#base/errors'
import type { FieldError } from '#model/resource'

/** The parts of Kubernetes' `Status` that matter to a client. */
export interface Status {
  readonly kind: 'Status'
  readonly status?: string
  readonly code?: number
  readonly reason?: string
  readonly message?: string
  readonly details?: { readonly name?: string; readonly causes?: readonly FieldError[] }
}

const codes: Readonly<Record<string, FaultCode>> = {
  Invalid: 'RESOURCE_INVALID',
  BadRequest: 'RESOURCE_INVALID',
  RequestEntityTooLarge: 'RESOURCE_INVALID',
  UnsupportedMediaType: 'RESOURCE_INVALID',
  NotFound: 'RESOURCE_NOT_FOUND',
  AlreadyExists: 'RESOURCE_EXISTS',
  Conflict: 'RESOURCE_CONFLICT',
  Expired: 'STORE_REVISION_GONE',
  Unauthorized: 'API_UNAUTHENTICATED',
  Forbidden: 'API_FORBIDDEN',
  TooManyRequests: 'SERVER_UNREACHABLE',
  ServiceUnavailable: 'SERVER_UNREACHABLE',
}

export function isStatus(value: unknown): value is Status {
  return (value as Status | null)?.kind === 'Status'
}

/** What a failure `Status` says, as a fault. */
export function statusFault({
  reason = '',
  message = 'the server refused the request',
  details,
}: Status): Fault {
  // Without a name it is the path itself that is unknown.
  const unknownKind = reason === 'NotFound' && details?.name === undefined
  const code = unknownKind ? 'KIND_UNKNOWN' : (codes[reason] ?? 'INTERNAL')
  return new Fault(code, message, { publicText: message, ...(details?.causes && { cause: details.causes }) })
}
