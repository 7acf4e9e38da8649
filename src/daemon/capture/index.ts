/**
 * Steers workloads' connections to the daemon and says who opened each one, by programs in the kernel.
 * It promises that a process which is no candidate pays nothing and is never touched, that a connection names the
 * image of the process that opened it, and that whoever should be captured is refused when the daemon does not
 * live. It decides on no identity (`#daemon/attestation`, `#model/selectors`) and listens nowhere.
 */
export type { ConnectionOrigin } from './origin.ts'
export { attachCapture, releaseCapture } from './attach.ts'
export type { AttachOptions } from './attach.ts'
export { openCapture } from './capture.ts'
export type { Capture, CapturedConnection, CapturePolicy } from './capture.ts'
export { compileCandidates } from './candidates.ts'
export type { CandidateKind, CandidateRule, Candidates, CandidateSources } from './candidates.ts'
export { cgroupAt, cgroupMount } from './cgroup.ts'
export type { Cgroup } from './cgroup.ts'
export type { Counters } from './counters.ts'
export { heartbeatIntervalMs, heartbeatLimitMs } from './heartbeat.ts'
export type { CapturedDestination, CapturedProcess } from './layout.ts'
export { probeCapture } from './probe.ts'
export type { CaptureAvailability } from './probe.ts'
export { kernelFileId, processPinOf } from './process-pin.ts'
export { openPolicyRoom } from './room.ts'
export { captureStatus } from './status.ts'
export type { CaptureStatus } from './status.ts'
