/**
 * The commands of `tideway`, one file each: they parse arguments, call one thing, and print.
 * Server, daemon and emulator are loaded only by the command that runs them.
 */
export { runCli } from './run-cli.ts'
