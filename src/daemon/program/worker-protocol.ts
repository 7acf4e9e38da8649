import type { ClientConnection } from '#daemon/attestation'
import type { CapturedProcess } from '#daemon/capture'
import type { Condition, ConnectTo, DataPlaneStats, Problem } from '#daemon/outbound'
import type { ProcessPin } from '#model/identity'
import type { CaptureLevel } from '#model/scope'
import type { ScopeMessage } from './scope-message.ts'

// Types, not interfaces: only types have the index signature that Protocol asks for.

/** What a worker needs before it can serve. */
export type WorkerConfiguration = {
  /** Its name as a writer of the audit spool. */
  readonly name: string
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error'
  readonly auditFolder: string
  readonly auditLimitBytes: number
  readonly auditWhenFull: 'refuse' | 'count'
  readonly systemRootsPem: string
  readonly upstreamCaPem?: string | undefined
  readonly connectTo: readonly ConnectTo[]
  /** Whose relays and proxy clients are served: absent for everyone, whom the attestor can then read. */
  readonly onlyUid?: number | undefined
  /** Kernel capture: where its maps are, and the port to which it leads connections. */
  readonly capture?: { readonly pinDirectory: string; readonly port: number } | undefined
}

/** Who a process is under one generation of the policy. */
export type Judgement = {
  readonly generation: number
  /** As read now: differs from what was asked about after an exec or a change of credentials. */
  readonly pin: ProcessPin
  readonly identity?: string
  readonly executable: string
}

export type JudgeRequest = {
  readonly process: ProcessPin | CapturedProcess
  readonly level: CaptureLevel
  readonly port: number
  /** The connection is new: the process must still be the image that opened it. */
  readonly fresh: boolean
}

/** The CA that mints leaves, and for which hosts it may. */
export interface LeafAuthorityMessage {
  readonly keyDer: Uint8Array
  readonly chainDer: readonly Uint8Array[]
  readonly hosts: readonly string[]
}

/** What workers answer to the main process. */
export type WorkerProtocol = {
  configure: { request: WorkerConfiguration; response: void }
  /** Captured connections may come; says whether over IPv6 too. They are refused until there is a scope. */
  listen: { request: Record<string, never>; response: { ipv6: boolean } }
  /** A change of the scope, and a heartbeat. */
  apply: { request: { update: ScopeMessage; generation: number; leaseMs: number }; response: { cut: number } }
  /** Empty when the host has none. */
  lookUp: { request: { host: string; uid: number }; response: readonly string[] }
  setAuthorities: { request: readonly LeafAuthorityMessage[]; response: void }
  /** Says that the main process lives, for how long credentials may still be used, and what any worker finds wrong. */
  heartbeat: { request: { leaseMs: number; problems: readonly Problem[] }; response: DataPlaneStats }
}

/** What the main process answers to workers. */
export type MainProtocol = {
  judge: { request: JudgeRequest; response: Judgement }
  findOwner: { request: ClientConnection; response: ProcessPin | undefined }
  reportCondition: { request: Condition; response: void }
}

/** A connection that the main process accepted and hands over, as the message beside the socket. */
export type Handover = { readonly handover: 'relay' | 'proxy' }

export function isHandover(message: unknown): message is Handover {
  return typeof message === 'object' && message !== null && 'handover' in message
}

/** How often the main process sends heartbeats, and after which silence each side gives the other up. */
export const workerHeartbeatMs = 250
export const silenceLimitMs = 2_000
/** SECURITY: a worker that has not put what may be a revocation into effect by then is killed (security rule 20). */
export const applyLimitMs = 500
