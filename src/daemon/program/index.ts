/**
 * The daemon as a program: the short part that needs root, joining, the scope put into effect in workers and in
 * the kernel, supervision, and the control socket. It promises that a dead or hung part means refusal for those
 * who are identified, never an unsigned or wrongly signed request.
 */
export { captureStatus, probeCapture, releaseCapture } from '#daemon/capture'
export type { CaptureStatus } from '#daemon/capture'
export { checkTrust, findStore, installRoot, trustEnvironment, uninstallRoot } from '#daemon/trust'
export type { TrustFinding, TrustTarget } from '#daemon/trust'
export { callDaemon, runCommand } from '#daemon/run'
export type { RunFacts, RunMode } from '#daemon/run'
export { runDaemon } from './daemon.ts'
export type { DaemonFacts } from './daemon.ts'
export type { Attested } from './control-routes.ts'
export { defaultRunDir, defaultStateDir, pinDirectoryOf, runPaths } from './paths.ts'
export { daemonSettings } from './settings.ts'
export type { DaemonSettings } from './settings.ts'
