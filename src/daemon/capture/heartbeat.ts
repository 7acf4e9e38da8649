import { layout } from './layout.ts'

const { heartbeat_ns: offset } = layout.config.offsets

/** A heartbeat older than this means that the daemon is dead or hung (HEARTBEAT_LIMIT_NS in capture.bpf.c). */
export const heartbeatLimitMs = 2000
/** How often the daemon's main process has to call `heartbeat`. */
export const heartbeatIntervalMs = 250

/** CLOCK_MONOTONIC, by which the kernel programs judge: the one clock that both sides share. */
const kernelTimeNs = () => process.hrtime.bigint()

export function writeHeartbeat(config: Buffer, beating: boolean): void {
  config.writeBigUInt64LE(beating ? kernelTimeNs() : 0n, offset)
}

/** Age of the heartbeat in a config; undefined when no daemon runs. */
export function heartbeatAgeMs(config: Buffer): number | undefined {
  const at = config.readBigUInt64LE(offset)
  return at === 0n ? undefined : Number((kernelTimeNs() - at) / 1_000_000n)
}

/** Whether the daemon behind `config` counts as alive. */
export function isAlive(config: Buffer): boolean {
  const age = heartbeatAgeMs(config)
  return age !== undefined && age <= heartbeatLimitMs
}
