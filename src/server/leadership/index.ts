/**
 * Which of the servers on one store does what only one may do: exchanges, states, key rotation. Who leads is decided
 * in the store, and so is whether a write of who led before still counts; a server that has its store alone always
 * leads. It does not know what leading means (docs/decisions/0012).
 */
export { isInUse, openElection, openSoleLeadership } from './leadership.ts'
export type { Leadership, Term } from './ports.ts'
