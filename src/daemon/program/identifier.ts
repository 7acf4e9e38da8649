import { statSync } from 'node:fs'
import type { Clock } from '#base/clock'
import { Fault } from '#base/errors'
import { pinKey, samePin } from '#daemon/attestation'
import { processPinOf, type Capture, type CapturedProcess, type ConnectionOrigin } from '#daemon/capture'
import type { Identifier, Verdict } from '#daemon/outbound'
import type { ProcessPin } from '#model/identity'
import type { Scope } from '#model/scope'
import type { JudgeRequest, Judgement } from './worker-protocol.ts'

/** What is known is kept for this many (process, port); beyond that the oldest goes and is asked again. */
const maxJudgements = 8192
/** How often is looked whether the main process still lives while it is asked. */
const lookMs = 250

const silent = () => new Fault('DAEMON_UNREACHABLE', 'the main process of the daemon is silent')

function isCaptured(process: ProcessPin): process is CapturedProcess {
  return 'image' in process
}

/** Real and effective ids are the same for nearly everyone; a non-dumpable process shows as root's. */
function hasOwner(process: CapturedProcess): boolean {
  const stats = statSync(`/proc/${process.pid}`, { throwIfNoEntry: false })
  return stats?.uid === process.effectiveUid && stats.gid === process.effectiveGid
}

/** A worker's identifier: asks the main process and remembers the answer while the policy stays the same. */
export interface WorkerIdentifier extends Identifier {
  /** Every judgement of an earlier generation is forgotten. */
  setPolicy(scope: Scope, generation: number): void
}

/**
 * Opens the identifier. `isMainAlive`: without the main process nothing is known any more, so nothing holds.
 */
export function openIdentifier({
  judge: askMain,
  capture,
  isMainAlive,
  clock,
}: {
  judge: (request: JudgeRequest) => Promise<Judgement>
  capture: Pick<Capture, 'verdictHolds' | 'seesCredentials'> | undefined
  isMainAlive: () => boolean
  clock: Clock
}): WorkerIdentifier {
  const judgements = new Map<string, Promise<Judgement>>()
  /** What the last verdict on each open connection rests on. */
  const held = new WeakMap<ConnectionOrigin, Judgement>()
  /** Those found unchanged in this turn of the event loop: between two looks in one turn nothing can be told apart. */
  const unchanged = new Set<ConnectionOrigin>()
  let scope: Scope | undefined
  let generation = -1

  /** An answer may take long; that the main process hangs shows sooner. */
  const judge = async (request: JudgeRequest): Promise<Judgement> => {
    const answered = new AbortController()
    const silence = (async (): Promise<never> => {
      while (isMainAlive()) await clock.sleep(lookMs, { signal: answered.signal, unref: true })
      throw silent()
    })()
    try {
      return await Promise.race([askMain(request), silence])
    } finally {
      answered.abort()
    }
  }
  const judgeFresh = ({ process, level, destination }: ConnectionOrigin): Promise<Judgement> => {
    const image = isCaptured(process) ? process.image : 0n
    const key = `${pinKey(process)} ${image} ${level} ${destination.port}`
    const known = judgements.get(key)
    if (known) return known
    const judgement = judge({ process, level, port: destination.port, fresh: true })
    judgements.set(key, judgement)
    // A failure is not remembered: the next connection asks again.
    judgement.catch(() => judgements.get(key) === judgement && judgements.delete(key))
    const oldest = judgements.keys().next().value
    if (judgements.size > maxJudgements && oldest !== undefined) judgements.delete(oldest)
    return judgement
  }
  const verdictOf = ({ identity: name, executable }: Judgement): Verdict => {
    if (name === undefined) return { kind: 'stranger' }
    const identity = scope?.identities.get(name)
    if (!identity) throw new Fault('ATTESTATION_FAILED', `identity ${name} has gone meanwhile`)
    return { kind: 'identified', identity, executable }
  }
  const isUnchanged = (process: ConnectionOrigin['process'], { pin }: Judgement): boolean => {
    if (capture && isCaptured(process)) {
      return capture.verdictHolds(process) && (capture.seesCredentials || hasOwner(process))
    }
    const now = processPinOf(process.pid)
    return now !== undefined && samePin(now, pin)
  }
  return {
    setPolicy(next, nextGeneration) {
      scope = next
      if (nextGeneration === generation) return
      generation = nextGeneration
      judgements.clear()
    },
    async identify(origin) {
      if (!isMainAlive()) throw silent()
      const { process, level, destination } = origin
      const judgement = held.has(origin)
        ? await judge({ process, level, port: destination.port, fresh: false })
        : await judgeFresh(origin)
      const verdict = verdictOf(judgement)
      held.set(origin, judgement)
      return verdict
    },
    stillHolds(origin) {
      const judgement = held.get(origin)
      if (!judgement || judgement.generation !== generation || !isMainAlive()) return false
      if (unchanged.has(origin)) return true
      if (!isUnchanged(origin.process, judgement)) return false
      if (unchanged.size === 0) setImmediate(() => unchanged.clear())
      unchanged.add(origin)
      return true
    },
  }
}
