/**
 * How the CLI speaks: data on standard output, talk on standard error, one renderer for faults.
 * It knows nothing of commands and fetches nothing.
 */
export { openTerminal } from './terminal.ts'
export type { Terminal } from './terminal.ts'
export { renderFault, exitCodeOf } from './fault.ts'
export { shown } from './shown.ts'
export { formatTable } from './table.ts'
export { describeObject } from './describe.ts'
