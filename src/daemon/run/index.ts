/**
 * `tideway run`: a command whose connections reach the daemon without kernel capture, in namespaces of its own or
 * by an explicit proxy.
 */
export { formatPreamble, maxPreambleBytes, parsePreamble } from './preamble.ts'
export type { Preamble } from './preamble.ts'
