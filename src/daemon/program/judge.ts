import { Fault, toFault } from '#base/errors'
import type { Log } from '#base/log'
import { samePin, type Attestation, type ProcessAttestor } from '#daemon/attestation'
import type { Capture, CapturedProcess } from '#daemon/capture'
import type { ProcessPin } from '#model/identity'
import type { Scope, ScopedIdentity } from '#model/scope'
import { chooseIdentity, explainMatch, isCollected, matchIdentities, selectorValues } from '#model/selectors'
import type { JudgeRequest, Judgement } from './worker-protocol.ts'

/** Who a process is, and why. */
export interface Explanation {
  readonly pid: number
  readonly executable: string
  readonly attributes: Readonly<Record<string, readonly string[]>>
  readonly verdict: 'identified' | 'stranger' | 'tie'
  readonly identity?: string
  readonly spiffeId?: string
  /** For each identity of the scope, one sentence for each of its selectors. */
  readonly identities: readonly {
    readonly name: string
    readonly matched: boolean
    readonly reasons: readonly string[]
  }[]
}

/** Decides in the main process who a process is, and tells the kernel. */
export interface Judge {
  /** Takes up new identities; they are judged by from now on. `numbers` are the kernel's names for them. */
  setPolicy(scope: Scope, generation: number, numbers: ReadonlyMap<string, number>): void
  /** @throws Fault ATTESTATION_FAILED */
  judge(request: JudgeRequest): Promise<Judgement>
  /** Who a process is where no selector asks for a port, and why. */
  explain(attestation: Attestation): Explanation
  /** Names of the identities with a selector that asks for what is not collected. */
  uncollected(): ReadonlyMap<string, readonly string[]>
}

function withPort(
  attributes: ReadonlyMap<string, readonly string[]>,
  port: number,
): ReadonlyMap<string, readonly string[]> {
  return new Map([...attributes, ['destination:port', [String(port)]]])
}

function selectorKeys(identities: Iterable<ScopedIdentity>): readonly string[] {
  return [...identities].flatMap(({ selectors }) => selectors.flatMap((selector) => Object.keys(selector)))
}

export function openJudge({
  attestor,
  capture,
  log,
}: {
  attestor: ProcessAttestor
  capture: Pick<Capture, 'setVerdict'> | undefined
  log: Log
}): Judge {
  let identities: readonly ScopedIdentity[] = []
  let generation = 0
  let numbers: ReadonlyMap<string, number> = new Map()
  /** Ports at which some selector makes a difference. */
  let ports: readonly number[] = []

  const attest = async (process: ProcessPin, fresh: boolean): Promise<Attestation> => {
    const attestation = await attestor.attest(process.pid, process.startTicks)
    if (!attestation) throw new Fault('ATTESTATION_FAILED', `process ${process.pid} has gone`)
    // SECURITY: what connected must be what is attested, or a process could execute a trusted program in between.
    if (fresh && !samePin(attestation.pin, process)) {
      throw new Fault('ATTESTATION_FAILED', `process ${process.pid} has changed since it connected`)
    }
    return attestation
  }
  const choose = (attestation: Attestation, port: number) => {
    const choice = chooseIdentity(identities, withPort(attestation.attributes, port))
    if (choice.kind === 'tie') {
      const names = choice.between.map(({ name }) => name)
      log.warn('identity.tie', {
        pid: attestation.pin.pid,
        executable: attestation.executable,
        between: names,
      })
    }
    return choice.kind === 'identified' ? choice.identity.name : undefined
  }
  /** Tells the kernel, unless who the process is depends on where it connects to. */
  const tellKernel = (
    process: CapturedProcess,
    attestation: Attestation,
    port: number,
    name: string | undefined,
  ) => {
    if (ports.some((other) => other !== port && choose(attestation, other) !== name)) return
    const number = name === undefined ? 'stranger' : numbers.get(name)
    // An identity without a number is bound to nothing: the kernel leaves it alone like a stranger.
    capture?.setVerdict(process, number ?? 'stranger')
  }
  return {
    setPolicy(scope, nextGeneration, nextNumbers) {
      const next = [...scope.identities.values()]
      // SECURITY: it takes calls in their order, so nobody has to wait for this one: an attestor that hangs would keep
      // what is withdrawn in force.
      attestor
        .collect(selectorKeys(next), selectorValues(next, 'process:binary:path'))
        .catch((error: unknown) => {
          log.error('attestor.silent', { error: toFault(error).message })
        })
      identities = next
      generation = nextGeneration
      numbers = nextNumbers
      const named = selectorValues(next, 'destination:port')
      // 0 stands for every port that no selector names.
      ports = named.length === 0 ? [] : [0, ...new Set(named.map(Number))]
    },
    async judge({ process, level, port, fresh }) {
      let judgedUnder: number
      let attestation: Attestation
      do {
        judgedUnder = generation
        attestation = await attest(process, fresh)
      } while (judgedUnder !== generation)
      const identity = choose(attestation, port)
      if (level === 'process' && 'image' in process) tellKernel(process, attestation, port, identity)
      const { pin, executable } = attestation
      return { generation, pin, executable, ...(identity !== undefined && { identity }) }
    },
    explain(attestation) {
      const { pin, executable, attributes } = attestation
      const choice = chooseIdentity(identities, attributes)
      return {
        pid: pin.pid,
        executable,
        attributes: Object.fromEntries(attributes),
        verdict: choice.kind,
        ...(choice.kind === 'identified' && {
          identity: choice.identity.name,
          spiffeId: choice.identity.spiffeId,
        }),
        identities: matchIdentities(identities, attributes).map((match) => ({
          name: match.identity.name,
          matched: match.selectors.some(({ outcome }) => outcome.matched),
          reasons: explainMatch(match),
        })),
      }
    },
    uncollected: () =>
      new Map(
        identities.flatMap((identity) => {
          const keys = selectorKeys([identity]).filter((key) => !isCollected(key))
          return keys.length > 0 ? [[identity.name, [...new Set(keys)]] as const] : []
        }),
      ),
  }
}
