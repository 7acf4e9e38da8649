/**
 * Changes of a scope as messages of the stream between server and daemon, and back. Apart from `#model/scope`, so that
 * a process to which no such message comes need not hold what reads them.
 */
export { decodeScopeUpdate, encodeScopeUpdate } from './codec.ts'
export type { UnreadItem } from './codec.ts'
