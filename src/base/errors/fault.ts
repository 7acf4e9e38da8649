import { faultCatalogue, type FaultCode, type FaultKind } from './catalogue.ts'

const brand = Symbol.for('tideway.fault')

export interface FaultOptions {
  /** All that a remote caller may see; the catalogue's text unless given. Never put a secret or a path here. */
  publicText?: string
  /** What the operator can do about it: one sentence. */
  hint?: string
  cause?: unknown
}

/**
 * An error with a stable code. `message` is for the operator: lower case, no full stop, names its subject.
 * Expected outcomes are values, not faults; a programmer's mistake is a `TypeError`.
 */
export class Fault extends Error {
  readonly code: FaultCode
  readonly publicText: string
  readonly hint: string | undefined
  readonly [brand] = true

  constructor(code: FaultCode, message: string, options: FaultOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'Fault'
    this.code = code
    this.publicText = options.publicText ?? faultCatalogue[code].publicText
    this.hint = options.hint
  }

  get kind(): FaultKind {
    return faultCatalogue[this.code].kind
  }
}

/** Whether `error` is a fault (of `code`, if given); works across copies of this module. */
export function isFault(error: unknown, code?: FaultCode): error is Fault {
  return error instanceof Error && brand in error && (code === undefined || (error as Fault).code === code)
}

/** Turns anything thrown into a fault; a fault passes through, the rest becomes `code` and keeps its cause. */
export function toFault(error: unknown, code: FaultCode = 'INTERNAL'): Fault {
  if (isFault(error)) return error
  const message = error instanceof Error ? error.message : String(error)
  return new Fault(code, message, { cause: error })
}

/** That an address or a path cannot be listened on: how `listen(2)` failed, in a sentence. SETTING_INVALID. */
export function cannotListen(who: string, place: string, cause: unknown, hint?: string): Fault {
  return new Fault('SETTING_INVALID', `${who} cannot listen on ${place}: ${(cause as Error).message}`, {
    cause,
    ...(hint !== undefined && { hint }),
  })
}
