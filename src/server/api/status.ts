import type { FastifyReply } from 'fastify'
import { Fault, isFault, toFault, type FaultCode, type FaultKind } from '#base/errors'
import { fieldErrorsOf, invalidResource, type FieldError } from '#model/resource'
import { causesOf } from '#server/store'

/** Kubernetes' `Status`: how the API says that something failed, or was deleted. */
export interface Status {
  readonly apiVersion: 'v1'
  readonly kind: 'Status'
  readonly metadata: { readonly continue?: string }
  readonly status: 'Success' | 'Failure'
  readonly message?: string
  readonly reason?: string
  readonly details?: {
    readonly name?: string
    readonly group?: string
    readonly kind?: string
    readonly uid?: string
    readonly causes?: readonly {
      readonly reason: string
      readonly message: string
      readonly field?: string
    }[]
    readonly retryAfterSeconds?: number
  }
  readonly code: number
}

const byKind: Record<FaultKind, { code: number; reason: string }> = {
  invalid: { code: 400, reason: 'BadRequest' },
  unauthenticated: { code: 401, reason: 'Unauthorized' },
  forbidden: { code: 403, reason: 'Forbidden' },
  'not-found': { code: 404, reason: 'NotFound' },
  conflict: { code: 409, reason: 'Conflict' },
  exhausted: { code: 429, reason: 'TooManyRequests' },
  unavailable: { code: 503, reason: 'ServiceUnavailable' },
  unsupported: { code: 501, reason: 'NotImplemented' },
  internal: { code: 500, reason: 'InternalError' },
}

const byCode: Partial<Record<FaultCode, { code: number; reason: string }>> = {
  RESOURCE_INVALID: { code: 422, reason: 'Invalid' },
  RESOURCE_TOO_LARGE: { code: 413, reason: 'RequestEntityTooLarge' },
  RESOURCE_EXISTS: { code: 409, reason: 'AlreadyExists' },
  STORE_REVISION_GONE: { code: 410, reason: 'Expired' },
}

export function failure(code: number, reason: string, message: string, details?: Status['details']): Status {
  return {
    apiVersion: 'v1',
    kind: 'Status',
    metadata: {},
    status: 'Failure',
    message,
    reason,
    ...(details && { details }),
    code,
  }
}

/** The `Status` of a fault: its public text only. */
export function faultStatus(fault: Fault, details: Status['details'] = {}): Status {
  const { code, reason } = byCode[fault.code] ?? byKind[fault.kind]
  const causes = [...fieldErrorsOf(fault), ...causesOf(fault)]
  const all = { ...details, ...(causes.length > 0 && { causes }) }
  return failure(code, reason, fault.publicText, Object.keys(all).length > 0 ? all : undefined)
}

/** A request that no resource rule is about: wrong form, wrong place. */
export class RequestRefusal extends Error {
  readonly status: Status

  constructor(
    code: number,
    reason: string,
    message: string,
    { details, metadata = {} }: Partial<Pick<Status, 'details' | 'metadata'>> = {},
  ) {
    super(message)
    this.name = 'RequestRefusal'
    this.status = { ...failure(code, reason, message, details), metadata }
  }
}

/** Answers with a status, and says when to come back: clients in Go wait so long and ask again by themselves. */
export function sendStatus(reply: FastifyReply, status: Status): FastifyReply {
  const { retryAfterSeconds } = status.details ?? {}
  if (retryAfterSeconds !== undefined) void reply.header('retry-after', String(retryAfterSeconds))
  return reply.code(status.code).send(status)
}

export const badRequest = (message: string) => new RequestRefusal(400, 'BadRequest', message)

/** Parameters of a request that are not in order, as Kubernetes words it: `kind` is such as `ListOptions`. */
export function invalidOptions(kind: string, errors: readonly FieldError[]): RequestRefusal {
  const group = 'meta.k8s.io'
  const fault = invalidResource(`${kind}.${group} ""`, errors)
  const details = { group, kind, causes: errors }
  return new RequestRefusal(422, 'Invalid', fault.publicText, { details })
}

/** What is said of a body in a form that is not among `types`. */
export const unknownFormat = (types: readonly string[]) =>
  new RequestRefusal(
    415,
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: ${types.join(', ')}`,
  )

/** The forms of an object in the body of a request. */
export const objectTypes = ['application/json', 'application/yaml', 'application/vnd.kubernetes.protobuf']

/** What Kubernetes says of a path that there is, and a method that it does not have. */
export const methodNotAllowed = () =>
  new RequestRefusal(
    405,
    'MethodNotAllowed',
    'the server does not allow this method on the requested resource',
  )

/**
 * The `Status` of anything thrown while a request was served.
 * SECURITY: texts of the HTTP framework and of JSON.parse quote the request, which may hold a secret; they are
 * replaced by our own.
 */
export function statusOf(error: unknown, details?: Status['details']): Status {
  if (error instanceof RequestRefusal) return error.status
  if (isFault(error)) return faultStatus(error, details)
  const { statusCode } = error as { statusCode?: number }
  if (statusCode === 413) return failure(413, 'RequestEntityTooLarge', 'the request is too large')
  if (statusCode === 415) return unknownFormat(objectTypes).status
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return failure(400, 'BadRequest', 'the request is malformed')
  }
  return faultStatus(toFault(error))
}
