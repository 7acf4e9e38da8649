/**
 * How long-lived things start and stop: services that run until aborted, run together, and fall together; and that
 * what a process frees goes back to the system while it runs.
 * It does not install signal handlers for libraries: only programs call `runProgram`.
 */
export { runProgram, runTogether, untilAborted } from './lifecycle.ts'
export { openReadiness } from './readiness.ts'
export type { Readiness } from './readiness.ts'
export { returnFreedMemory } from './freed-memory.ts'
export { afterAtMost, openBell } from './bell.ts'
export type { Bell } from './bell.ts'
