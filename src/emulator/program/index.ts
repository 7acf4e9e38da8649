/**
 * The program `tideway emulator`: TLS listener, certificates for the AWS hosts it plays, settings, files in its
 * state folder. It says with every answer that it is not a real cloud, and forgets everything when it ends.
 */
export { emulatorSettings } from './settings.ts'
export { runEmulator } from './run-emulator.ts'
export type { EmulatorReady, EmulatorSettings } from './run-emulator.ts'
