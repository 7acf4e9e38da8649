/**
 * Time as an argument: everything that waits or asks for the time takes a `Clock`.
 * This is the only folder that reads the system's clock. It does not format times for people.
 */
export { systemClock } from './clock.ts'
export type { Clock, EpochMs } from './clock.ts'
export { openTestClock } from './test-clock.ts'
export type { TestClock } from './test-clock.ts'
export { backoffMs, jittered } from './backoff.ts'
