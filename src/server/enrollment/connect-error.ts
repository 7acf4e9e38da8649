import { Code, ConnectError } from '@connectrpc/connect'
import { toFault, type FaultKind } from '#base/errors'
import type { Log, LogFields } from '#base/log'

const codes: Record<FaultKind, Code> = {
  invalid: Code.InvalidArgument,
  unauthenticated: Code.Unauthenticated,
  forbidden: Code.PermissionDenied,
  'not-found': Code.NotFound,
  conflict: Code.Aborted,
  exhausted: Code.ResourceExhausted,
  unavailable: Code.Unavailable,
  unsupported: Code.Unimplemented,
  internal: Code.Internal,
}

/** Renders what was thrown for a Connect or gRPC peer: the public text and the code, nothing of the cause. */
export function toConnectError(error: unknown): ConnectError {
  if (error instanceof ConnectError) return error
  const { publicText, kind, code } = toFault(error)
  return new ConnectError(publicText, codes[kind], { 'tideway-fault': code })
}

/** Logs a failed call with what the operator may know, and renders it for the peer. */
export function failedCall(log: Log, call: string, error: unknown, from: LogFields = {}): ConnectError {
  const rendered = toConnectError(error)
  if (rendered.code === Code.Internal) log.error('node.call.failed', { ...from, call, error })
  else if (rendered !== error)
    log.warn('node.call.refused', { ...from, call, reason: (error as Error).message })
  return rendered
}
