import type { Clock } from '#base/clock'
import { openPeer, startChild, type Protocol } from '#daemon/processes'
import type { ProcessPin } from '#model/identity'
import type { Attestation, ClientConnection, FileId, ProcessAttestor } from './attestor.ts'

/** What the attestor process answers. */
// A type, not an interface: only types have the index signature that Protocol asks for.
export type AttestorProtocol = {
  attest: { request: { pid: number; startTicks: bigint }; response: Attestation | undefined }
  findOwner: { request: ClientConnection; response: ProcessPin | undefined }
  startOf: { request: number; response: bigint | undefined }
  locate: { request: readonly string[]; response: ReadonlyMap<string, FileId> }
  collect: { request: { keys: readonly string[]; paths: readonly string[] }; response: void }
}

// Long enough to hash a large executable once.
const timeoutMs = 10_000
// Withdrawals wait for it (security rule 20), and it is asked again.
const locateMs = 250

/**
 * Starts the attestor: a process of its own that may read every process and nothing else (security rule 8).
 * Needs root. Its end aborts `onExit`: a daemon without eyes must stop.
 * @throws Fault PLATFORM_UNSUPPORTED
 */
export function startAttestor({
  uid,
  gid,
  clock,
  onExit,
}: {
  uid: number
  gid: number
  clock: Clock
  onExit: (status: { code: number | null; signal: NodeJS.Signals | null }) => void
}): ProcessAttestor {
  const capabilities = ['sys_ptrace', 'dac_read_search']
  const child = startChild(new URL('./attestor-child.ts', import.meta.url), {
    privileges: { uid, gid, capabilities },
  })
  let closing = false
  child.on('exit', (code, signal) => closing || onExit({ code, signal }))
  const peer = openPeer<AttestorProtocol, Protocol>({
    endpoint: child,
    answers: {},
    clock,
    timeoutMs,
  })
  return {
    attest: (pid, startTicks) => peer.call('attest', { pid, startTicks }),
    findOwner: (connection) => peer.call('findOwner', connection),
    startOf: (pid) => peer.call('startOf', pid),
    locate: (paths) => peer.call('locate', paths, { timeoutMs: locateMs }),
    collect: (keys, paths = []) => peer.call('collect', { keys, paths }),
    async [Symbol.asyncDispose]() {
      closing = true
      const exited = new Promise((resolve) => child.once('exit', resolve))
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGKILL') // it holds nothing that needs an orderly end
      await exited
    },
  }
}
