import { existsSync } from 'node:fs'
import { openCounters, readCounters, type Counters } from './counters.ts'
import type { BpfMap } from './bpf.ts'
import type { Candidates } from './candidates.ts'
import { writeHeartbeat } from './heartbeat.ts'
import { openInspector } from './inspector.ts'
import {
  candidateKey,
  candidateKinds,
  isProcess,
  layout,
  policyRoom,
  readRecord,
  stranger,
  unjudged,
  writePeer,
  type CapturedDestination,
  type CapturedProcess,
  type MapName,
} from './layout.ts'
import type { ConnectionOrigin } from './origin.ts'
import { mapPath, openMap } from './pins.ts'
import { destinationKeys } from './room.ts'

/** What the kernel has to know of the policy. */
export interface CapturePolicy {
  readonly candidates: Pick<Candidates, 'rules' | 'captureAll'>
  /** Destinations of each identity, by the number (from 1) that verdicts then name it by. */
  readonly destinations: ReadonlyMap<number, readonly CapturedDestination[]>
}

/** A connection from the kernel's record. */
export interface CapturedConnection extends ConnectionOrigin {
  readonly process: CapturedProcess
  /** Who the kernel took it for at connect: the number of an identity, or 0 for nobody yet. */
  readonly identity: number
  /** Of the policy under which `identity` was known. */
  readonly generation: number
}

/** The kernel's side of capture, as the serving user sees it. */
export interface Capture extends Disposable {
  /** Tells the kernel that the daemon lives; every 250 ms, by the main process. Older than 2 s means dead. */
  heartbeat(): void
  /** Says that the daemon stops: from now on who is captured is refused, without waiting 2 s. */
  stopHeartbeat(): void
  /**
   * From now on connections of this network namespace may be redirected to `port`, where the daemon must be
   * listening on 127.0.0.1 and, if usable, ::1. Choose a port outside the ephemeral range.
   */
  registerListener(listener: { netnsCookie: bigint; port: number; ipv6Usable: boolean }): void
  unregisterListener(netnsCookie: bigint): void
  /**
   * Replaces the policy and voids all verdicts; gives the new generation. To be called once at start, also with
   * an unchanged policy: numbers of identities mean nothing to another run.
   */
  setPolicy(policy: CapturePolicy): number
  /** Voids all verdicts: every process is captured and judged again at its next connect. */
  bumpGeneration(): number
  /**
   * Gives the verdict on the process of a captured connection. False when it holds for nothing: the process
   * executed something else, changed credentials or cgroup and connected again, or ended.
   */
  setVerdict(process: CapturedProcess, verdict: number | 'stranger'): boolean
  /**
   * Whether the process is still the very image that opened its connection, to be asked before every request on
   * it (security rule 10); one system call. False after exec, exit, and a change of credentials or cgroup. Before
   * Linux 6.2 it sees such a change only once the process has connected again.
   */
  verdictHolds(process: CapturedProcess): boolean
  /** Whether `verdictHolds` sees a change of credentials at once: from Linux 6.2 on. */
  readonly seesCredentials: boolean
  /**
   * Takes the record of an accepted connection, named by its remote end. It can be taken once; undefined means
   * that the connection must be reset (security rule 4).
   */
  takeOrigin(remoteAddress: string, remotePort: number, netnsCookie: bigint): CapturedConnection | undefined
  counters(): Counters
  /** False once somebody has released it: nothing is captured then, whatever is written here. */
  isAttached(): boolean
}

const config = layout.config.offsets
const verdict = layout.verdict.offsets
const hex = (key: Buffer) => key.toString('latin1')

function keyed(keys: Iterable<Buffer>): Map<string, Buffer> {
  return new Map(Array.from(keys, (key) => [hex(key), key]))
}

function addKeys(map: BpfMap, wanted: ReadonlyMap<string, Buffer>): void {
  map.value.fill(0)
  for (const key of wanted.values()) {
    key.copy(map.key)
    map.update()
  }
}

function deleteOtherKeys(map: BpfMap, wanted: ReadonlyMap<string, Buffer>): void {
  for (const key of map.keys()) {
    if (wanted.has(hex(key))) continue
    key.copy(map.key)
    map.delete()
  }
}

/** Whether there is room for what is wanted beside what is there. */
function fitsBeside(map: BpfMap, wanted: ReadonlyMap<string, Buffer>, room: number): boolean {
  const others = map.keys().filter((key) => !wanted.has(hex(key)))
  return others.length + wanted.size <= room
}

function* allDestinationKeys(destinations: CapturePolicy['destinations']): Generator<Buffer> {
  for (const [identity, list] of destinations) {
    if (!Number.isInteger(identity) || identity <= unjudged || identity >= stranger) {
      throw new TypeError(`${identity} is not the number of an identity`)
    }
    for (const destination of list) yield* destinationKeys(identity, destination)
  }
}

/** Has the kernel look further at connects to these ports, and to those of before if they are to be kept. */
function writePorts(
  map: BpfMap,
  destinations: CapturePolicy['destinations'],
  { keep }: { keep: boolean },
): void {
  if (!keep) map.value.fill(0)
  for (const { port } of [...destinations.values()].flat()) map.value[port >> 3]! |= 1 << (port & 7)
  map.update()
}

/** Which of the kernel's questions have any answer in `rules`: a bit per kind, and per depth of cgroups. */
function filterMasks(rules: CapturePolicy['candidates']['rules']): { kinds: number; levels: number } {
  let kinds = 0
  let levels = 0
  for (const rule of rules) {
    kinds |= 1 << candidateKinds.indexOf(rule.kind)
    if (rule.kind === 'cgroup') levels |= 1 << rule.level
  }
  return { kinds, levels }
}

/**
 * Opens what `attachCapture` pinned. Needs no capability, only to be the owner named there. One process, the
 * main one, writes (everything but `takeOrigin`); any number may take origins and ask for verdicts.
 * @throws Fault CAPTURE_UNAVAILABLE when nothing is attached, or by another version; SYSCALL_FAILED
 */
export function openCapture(pinDirectory: string): Capture {
  using opened = new DisposableStack()
  const open = (name: MapName) => opened.use(openMap(pinDirectory, name))
  const configuration = open('config')
  const listeners = open('listeners')
  const candidates = open('candidates')
  const ports = open('ports')
  const destinations = open('destinations')
  const verdicts = open('verdicts')
  const records = open('records')
  const counters = opened.use(openCounters(pinDirectory))
  const inspector = opened.use(openInspector(pinDirectory))
  // The one copy of configuration and ports that is ever written back; workers never do.
  configuration.lookup()
  ports.lookup()
  const settings = configuration.value
  const resources = opened.move()

  /** Reads the verdict on `process` into `verdicts.value`, if it is on this image. */
  function readVerdict(process: CapturedProcess): boolean {
    verdicts.key.writeUInt32LE(process.pid, 0)
    return verdicts.lookup() && isProcess(verdicts.value, verdict.pin, process)
  }

  function bumpGeneration(): number {
    const next = (settings.readUInt32LE(config.generation) + 1) >>> 0
    settings.writeUInt32LE(next, config.generation)
    configuration.update()
    return next
  }

  return {
    heartbeat() {
      writeHeartbeat(settings, true)
      configuration.update()
    },
    stopHeartbeat() {
      writeHeartbeat(settings, false)
      configuration.update()
    },
    registerListener({ netnsCookie, port, ipv6Usable }) {
      listeners.key.writeBigUInt64LE(netnsCookie)
      listeners.value.writeUInt16LE(port, layout.listener.offsets.port)
      listeners.value.writeUInt16LE(ipv6Usable ? 1 : 0, layout.listener.offsets.ipv6_usable)
      listeners.update()
    },
    unregisterListener(netnsCookie) {
      listeners.key.writeBigUInt64LE(netnsCookie)
      listeners.delete()
    },
    setPolicy(policy) {
      const wantedCandidates = keyed(policy.candidates.rules.map(candidateKey))
      const wantedDestinations = keyed(allDestinationKeys(policy.destinations))
      const { kinds, levels } = filterMasks(policy.candidates.rules)
      // Where old and new do not fit in beside each other, everybody is a candidate while the old makes room.
      if (
        !fitsBeside(candidates, wantedCandidates, policyRoom.candidates) ||
        !fitsBeside(destinations, wantedDestinations, policyRoom.destinations)
      ) {
        settings.writeUInt32LE(1, config.capture_all)
        bumpGeneration()
        deleteOtherKeys(candidates, wantedCandidates)
        deleteOtherKeys(destinations, wantedDestinations)
      }
      // First what is new, then the end of all verdicts, then what is gone: nobody who is captured before and
      // after goes direct in between.
      addKeys(candidates, wantedCandidates)
      addKeys(destinations, wantedDestinations)
      writePorts(ports, policy.destinations, { keep: true })
      settings.writeUInt32LE(settings.readUInt32LE(config.candidate_kinds) | kinds, config.candidate_kinds)
      settings.writeUInt32LE(settings.readUInt32LE(config.candidate_levels) | levels, config.candidate_levels)
      if (policy.candidates.captureAll) settings.writeUInt32LE(1, config.capture_all)
      const generation = bumpGeneration()
      deleteOtherKeys(candidates, wantedCandidates)
      deleteOtherKeys(destinations, wantedDestinations)
      writePorts(ports, policy.destinations, { keep: false })
      settings.writeUInt32LE(kinds, config.candidate_kinds)
      settings.writeUInt32LE(levels, config.candidate_levels)
      settings.writeUInt32LE(policy.candidates.captureAll ? 1 : 0, config.capture_all)
      configuration.update()
      return generation
    },
    bumpGeneration,
    setVerdict(process, judged) {
      if (!readVerdict(process)) return false
      verdicts.value.writeUInt32LE(settings.readUInt32LE(config.generation), verdict.generation)
      verdicts.value.writeUInt32LE(judged === 'stranger' ? stranger : judged, verdict.identity)
      // SECURITY: only in the place of what the kernel put there at connect: exec and exit take that away, so a
      // verdict that comes too late holds for nothing.
      return verdicts.replace()
    },
    verdictHolds: (process) => (inspector ? inspector.isStill(process) : readVerdict(process)),
    seesCredentials: inspector !== undefined,
    takeOrigin(remoteAddress, remotePort, netnsCookie) {
      writePeer(records.key, remoteAddress, remotePort, netnsCookie)
      if (!records.take()) return undefined
      const { process, address, port, identity, generation } = readRecord(records.value)
      return { level: 'process', process, destination: { address, port }, netnsCookie, identity, generation }
    },
    counters: () => readCounters(counters),
    isAttached: () => existsSync(mapPath(pinDirectory, 'config')),
    [Symbol.dispose]() {
      resources.dispose()
    },
  }
}
