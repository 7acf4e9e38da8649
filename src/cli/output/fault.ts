import { type FaultKind, toFault } from '#base/errors'
import { shownLines } from './shown.ts'

/** Exit codes: 1 what was asked failed, 2 it was asked wrongly, 69 this machine cannot, 75 worth another try. */
const exitCodes: Readonly<Record<FaultKind, number>> = {
  invalid: 2,
  unauthenticated: 1,
  forbidden: 1,
  'not-found': 1,
  conflict: 1,
  exhausted: 75,
  unavailable: 75,
  unsupported: 69,
  internal: 1,
}

export function exitCodeOf(error: unknown): number {
  return exitCodes[toFault(error).kind]
}

/** `error: message` and, when there is one, what can be done about it; the stack only for defects of ours. */
export function renderFault(error: unknown): string {
  const fault = toFault(error)
  const lines = [`error: ${fault.message}`]
  if (fault.hint) lines.push(`hint: ${fault.hint}`)
  if (fault.kind === 'internal') {
    const origin = fault.cause instanceof Error ? fault.cause : fault
    lines.push(`(${fault.code}) ${origin.stack ?? ''}`)
  }
  return shownLines(lines.join('\n'))
}
