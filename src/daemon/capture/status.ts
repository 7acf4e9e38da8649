import { closeSync, existsSync } from 'node:fs'
import { linkInfo, openPinned } from './bpf.ts'
import { openCounters, readCounters, type Counters } from './counters.ts'
import { heartbeatAgeMs, isAlive } from './heartbeat.ts'
import { layout } from './layout.ts'
import { hooks, inspectorPath, linkPath, mapPath, openMap } from './pins.ts'

export type CaptureStatus =
  | { readonly attached: false }
  | {
      readonly attached: true
      /** The hooks that have a program. */
      readonly links: readonly {
        readonly hook: string
        readonly linkId: number
        readonly programId: number
      }[]
      /** Hooks that should have one and have none: somebody removed a pin. */
      readonly missing: readonly string[]
      /** Id of the cgroup whose processes are looked at, in decimal. */
      readonly cgroupId: string
      /** Whether a daemon serves: its heartbeat is at most 2 s old. */
      readonly alive: boolean
      /** Undefined when the daemon stopped in order, or none ran yet. */
      readonly heartbeatAgeMs: number | undefined
      readonly generation: number
      /** Whether a change of credentials is seen on open connections too (Linux 6.2). */
      readonly inspects: boolean
      readonly listeners: readonly {
        readonly netnsCookie: string
        readonly port: number
        readonly ipv6Usable: boolean
      }[]
      /** Entries in use. */
      readonly candidates: number
      readonly verdicts: number
      readonly pendingRecords: number
      readonly counters: Counters
    }

function linksOf(pinDirectory: string) {
  const links: { hook: string; linkId: number; programId: number }[] = []
  let cgroupId = 0n
  for (const hook of hooks) {
    const fd = openPinned(linkPath(pinDirectory, hook))
    if (fd === undefined) continue
    const info = linkInfo(fd)
    closeSync(fd)
    if (!('tracepoint' in hook)) cgroupId = info.cgroupId
    links.push({ hook: hook.name, linkId: info.id, programId: info.programId })
  }
  return { links, cgroupId }
}

/**
 * What is attached under `pinDirectory`, in plain values. Needs root, because links are root's.
 * @throws Fault CAPTURE_UNAVAILABLE, SYSCALL_FAILED
 */
export function captureStatus(pinDirectory: string): CaptureStatus {
  if (!existsSync(mapPath(pinDirectory, 'config'))) return { attached: false }
  const { links, cgroupId } = linksOf(pinDirectory)
  using config = openMap(pinDirectory, 'config')
  config.lookup()
  using listeners = openMap(pinDirectory, 'listeners')
  using counters = openCounters(pinDirectory)
  const size = (name: 'candidates' | 'verdicts' | 'records') => {
    using map = openMap(pinDirectory, name)
    return map.keys().length
  }
  return {
    attached: true,
    links,
    missing: hooks.filter(({ name }) => !links.some((link) => link.hook === name)).map(({ name }) => name),
    cgroupId: String(cgroupId),
    alive: isAlive(config.value),
    heartbeatAgeMs: heartbeatAgeMs(config.value),
    generation: config.value.readUInt32LE(layout.config.offsets.generation),
    inspects: existsSync(inspectorPath(pinDirectory)),
    listeners: listeners.keys().map((key) => {
      key.copy(listeners.key)
      listeners.lookup()
      return {
        netnsCookie: String(key.readBigUInt64LE()),
        port: listeners.value.readUInt16LE(layout.listener.offsets.port),
        ipv6Usable: listeners.value.readUInt16LE(layout.listener.offsets.ipv6_usable) === 1,
      }
    }),
    candidates: size('candidates'),
    verdicts: size('verdicts'),
    pendingRecords: size('records'),
    counters: readCounters(counters),
  }
}
