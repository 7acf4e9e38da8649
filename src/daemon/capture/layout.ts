// The mirror of native/capture/layout.h: what the kernel programs and we exchange. Linux on x86-64 and arm64 is
// little-endian.
import type { ProcessPin } from '#model/identity'
import { readAddress, writeAddress } from './address.ts'
import type { CandidateKind, CandidateRule } from './candidates.ts'

/** Sizes and offsets in bytes, by the names that layout.h gives them. */
export const layout = {
  process_pin: {
    size: 56,
    offsets: {
      start_ticks: 0,
      exe_inode: 8,
      cgroup_id: 16,
      image: 24,
      exe_device: 32,
      uid: 36,
      gid: 40,
      effective_uid: 44,
      effective_gid: 48,
      tgid: 52,
    },
  },
  verdict: { size: 64, offsets: { pin: 0, generation: 56, identity: 60 } },
  config: {
    size: 40,
    offsets: {
      heartbeat_ns: 0,
      daemon_cgroup: 8,
      daemon_level: 16,
      generation: 20,
      candidate_kinds: 24,
      candidate_levels: 28,
      capture_all: 32,
      open_per_cgroup: 36,
    },
  },
  ports: { size: 8192, offsets: { bits: 0 } },
  listener: { size: 4, offsets: { port: 0, ipv6_usable: 2 } },
  candidate: { size: 24, offsets: { kind: 0, device: 4, by: 8 } },
  destination: { size: 24, offsets: { identity: 0, port: 4, reserved: 6, address: 8 } },
  peer: { size: 32, offsets: { netns_cookie: 0, address: 8, port: 24, reserved: 26 } },
  record: {
    size: 96,
    offsets: {
      pin: 0,
      socket_cookie: 56,
      address: 64,
      port: 80,
      reserved: 82,
      identity: 84,
      generation: 88,
      reserved2: 92,
    },
  },
} as const

/** Key and value sizes of the maps that user space opens, in bytes. */
export const mapShapes = {
  config: { key: 4, value: layout.config.size },
  ports: { key: 4, value: layout.ports.size },
  listeners: { key: 8, value: layout.listener.size },
  candidates: { key: layout.candidate.size, value: 1 },
  destinations: { key: layout.destination.size, value: 1 },
  verdicts: { key: 4, value: layout.verdict.size },
  records: { key: layout.peer.size, value: layout.record.size },
  counters: { key: 4, value: 8 },
} as const
export type MapName = keyof typeof mapShapes
export const mapNames = Object.keys(mapShapes) as readonly MapName[]

/** Entries that the maps of the policy hold. */
export const policyRoom = { candidates: 16_384, destinations: 16_384 } as const

/** In the order of `enum counter`. */
export const counterNames = [
  'captured',
  'directPort',
  'directStranger',
  'directOther',
  'foreignNetns',
  'refusedDead',
  'refusedFlood',
  'refusedNoIpv6',
  'refusedQuic',
  'refusedBind',
  'recordLost',
] as const
export type CounterName = (typeof counterNames)[number]

/** In the order of `enum candidate_kind`. */
export const candidateKinds: readonly CandidateKind[] = [
  'executable',
  'cgroup',
  'uid',
  'gid',
  'name',
  'executable-and-uid',
]

/** Identity numbers that are none. */
export const unjudged = 0
export const stranger = 0xffff_ffff

/** A process as the kernel saw it at connect: finer than what /proc shows. */
export interface CapturedProcess extends ProcessPin {
  /** Counts execve, so that a binary executed again is told from its earlier run. */
  readonly image: bigint
  readonly effectiveUid: number
  readonly effectiveGid: number
}

const pin = layout.process_pin.offsets

export function readProcess(bytes: Buffer, offset: number): CapturedProcess {
  return {
    pid: bytes.readUInt32LE(offset + pin.tgid),
    startTicks: bytes.readBigUInt64LE(offset + pin.start_ticks),
    exeDevice: bytes.readUInt32LE(offset + pin.exe_device),
    exeInode: bytes.readBigUInt64LE(offset + pin.exe_inode),
    uid: bytes.readUInt32LE(offset + pin.uid),
    gid: bytes.readUInt32LE(offset + pin.gid),
    cgroupId: bytes.readBigUInt64LE(offset + pin.cgroup_id),
    image: bytes.readBigUInt64LE(offset + pin.image),
    effectiveUid: bytes.readUInt32LE(offset + pin.effective_uid),
    effectiveGid: bytes.readUInt32LE(offset + pin.effective_gid),
  }
}

export function writeProcess(process: CapturedProcess, bytes: Buffer): void {
  bytes.writeUInt32LE(process.pid, pin.tgid)
  bytes.writeBigUInt64LE(process.startTicks, pin.start_ticks)
  bytes.writeUInt32LE(process.exeDevice, pin.exe_device)
  bytes.writeBigUInt64LE(process.exeInode, pin.exe_inode)
  bytes.writeUInt32LE(process.uid, pin.uid)
  bytes.writeUInt32LE(process.gid, pin.gid)
  bytes.writeBigUInt64LE(process.cgroupId, pin.cgroup_id)
  bytes.writeBigUInt64LE(process.image, pin.image)
  bytes.writeUInt32LE(process.effectiveUid, pin.effective_uid)
  bytes.writeUInt32LE(process.effectiveGid, pin.effective_gid)
}

/** Whether the process_pin at `offset` is that of `process`, without allocating. */
export function isProcess(bytes: Buffer, offset: number, process: CapturedProcess): boolean {
  return (
    bytes.readUInt32LE(offset + pin.tgid) === process.pid &&
    bytes.readBigUInt64LE(offset + pin.start_ticks) === process.startTicks &&
    bytes.readBigUInt64LE(offset + pin.image) === process.image &&
    bytes.readBigUInt64LE(offset + pin.exe_inode) === process.exeInode &&
    bytes.readUInt32LE(offset + pin.exe_device) === process.exeDevice &&
    bytes.readUInt32LE(offset + pin.uid) === process.uid &&
    bytes.readUInt32LE(offset + pin.gid) === process.gid &&
    bytes.readUInt32LE(offset + pin.effective_uid) === process.effectiveUid &&
    bytes.readUInt32LE(offset + pin.effective_gid) === process.effectiveGid &&
    bytes.readBigUInt64LE(offset + pin.cgroup_id) === process.cgroupId
  )
}

export function writePeer(out: Buffer, address: string, port: number, netnsCookie: bigint): void {
  const { offsets } = layout.peer
  out.fill(0, 0, layout.peer.size)
  out.writeBigUInt64LE(netnsCookie, offsets.netns_cookie)
  writeAddress(address, out, offsets.address)
  out.writeUInt16LE(port, offsets.port)
}

/** What a record says, besides whom its key already names. */
export interface Recorded {
  readonly process: CapturedProcess
  readonly address: string
  readonly port: number
  readonly identity: number
  readonly generation: number
}

export function readRecord(bytes: Buffer): Recorded {
  const { offsets } = layout.record
  return {
    process: readProcess(bytes, offsets.pin),
    address: readAddress(bytes, offsets.address),
    port: bytes.readUInt16LE(offsets.port),
    identity: bytes.readUInt32LE(offsets.identity),
    generation: bytes.readUInt32LE(offsets.generation),
  }
}

/** A destination that is captured: a port of any address but loopback, or one loopback address and port. */
export interface CapturedDestination {
  readonly port: number
  readonly loopbackAddress?: string
}

/** Key of one destination of an identity; the address only for loopback, which is captured one by one. */
export function destinationKey(identity: number, port: number, loopbackAddress?: string): Buffer {
  const { size, offsets } = layout.destination
  const key = Buffer.alloc(size)
  key.writeUInt32LE(identity, offsets.identity)
  key.writeUInt16LE(port, offsets.port)
  if (loopbackAddress !== undefined) writeAddress(loopbackAddress, key, offsets.address)
  return key
}

/** A name longer than the kernel keeps is cut to what it would show. */
const nameBytes = 15

export function candidateKey(rule: CandidateRule): Buffer {
  const { size, offsets } = layout.candidate
  const key = Buffer.alloc(size)
  key.writeUInt32LE(candidateKinds.indexOf(rule.kind), offsets.kind)
  switch (rule.kind) {
    case 'executable':
      key.writeUInt32LE(rule.device, offsets.device)
      key.writeBigUInt64LE(rule.inode, offsets.by)
      break
    case 'executable-and-uid':
      key.writeUInt32LE(rule.device, offsets.device)
      key.writeBigUInt64LE(rule.inode, offsets.by)
      key.writeBigUInt64LE(BigInt(rule.uid), offsets.by + 8)
      break
    case 'cgroup':
      key.writeBigUInt64LE(rule.id, offsets.by)
      break
    case 'uid':
    case 'gid':
      key.writeBigUInt64LE(BigInt(rule.id), offsets.by)
      break
    case 'name':
      Buffer.from(rule.name).copy(key, offsets.by, 0, nameBytes)
      break
  }
  return key
}
