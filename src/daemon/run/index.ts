/**
 * `tideway run`: a command whose connections the daemon carries, on both sides: in the captured cgroup, in
 * namespaces whose only way out is a relay, or by an explicit proxy; and calls of the daemon's control socket.
 * It promises the command its standard streams, signals and exit code, and that nothing of it stays behind. Who
 * the command is, the daemon finds out by itself: nothing that runs here is believed.
 */
export { callDaemon } from './daemon-client.ts'
export { canEnclose } from './enclosure.ts'
export type { RunFacts } from './facts.ts'
export { placeholderAddresses } from './placeholders.ts'
export { formatPreamble, maxPreambleBytes, parsePreamble } from './preamble.ts'
export type { Preamble } from './preamble.ts'
export { runCommand } from './run-command.ts'
export type { RunCommandOptions, RunMode } from './run-command.ts'
