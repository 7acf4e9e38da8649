/**
 * TLS in the middle, client's side: looks at the first bytes of a connection without using them up, mints the
 * leaf of a bound host, terminates TLS with it. It does not decide which host is bound and reads no HTTP.
 */
export { openLeaves } from './leaves.ts'
export type { LeafIssuer, Leaves } from './leaves.ts'
export { peekOpening } from './peek.ts'
export type { Opening } from './peek.ts'
export { terminateTls } from './terminate.ts'
