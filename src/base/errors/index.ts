/**
 * The one error type of the product and its closed catalogue of codes.
 * It promises that every code is documented (docs/errors.md) and that the text for a remote caller never
 * contains what only the operator may know. It does not render: each protocol has its own renderer. Beside it stands
 * what is asked of errors of Node.js in more than one room.
 */
export { cannotListen, Fault, isFault, toFault } from './fault.ts'
export { isUntrusted } from './untrusted.ts'
export type { FaultOptions } from './fault.ts'
export { faultCatalogue } from './catalogue.ts'
export type { FaultCode, FaultKind } from './catalogue.ts'
