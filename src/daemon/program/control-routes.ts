import { statSync } from 'node:fs'
import { Fault } from '#base/errors'
import type { ProcessAttestor } from '#daemon/attestation'
import type { ConnectTo, LookUp } from '#daemon/outbound'
import type { RunFacts } from '#daemon/run'
import type { ReportedCondition } from '#daemon/sync'
import type { TrustListeners } from '#daemon/trust'
import type { Scope } from '#model/scope'
import type { ControlRoute } from './control.ts'
import type { Explanation, Judge } from './judge.ts'

/** What `tideway attest PID` prints. */
export interface Attested extends Explanation {
  /** What is wrong with that on which its requests depend, as this daemon sees it. */
  readonly conditions: readonly ReportedCondition[]
}

/** Every port that a Service of the scope may be reached on. */
export function servicePorts(scope: Scope): readonly number[] {
  const ports = new Set([443, 80])
  for (const { addresses } of scope.services.values()) {
    for (const { port } of addresses) if (port !== undefined) ports.add(port)
  }
  return [...ports].sort((a, b) => a - b)
}

function field(body: unknown, name: string): unknown {
  return typeof body === 'object' && body !== null ? (body as Record<string, unknown>)[name] : undefined
}

function hostOf(body: unknown): string {
  const host = field(body, 'host')
  if (typeof host !== 'string' || !/^[a-zA-Z0-9._-]{1,253}$/.test(host)) {
    throw new Fault('WIRE_MALFORMED', 'host is not a host name')
  }
  return host
}

export function controlRoutes({
  judge,
  attestor,
  status,
  isReady,
  facts,
  conditionsFor,
  trustListeners,
  lookUp,
}: {
  judge: Judge
  attestor: ProcessAttestor
  status: () => Record<string, unknown>
  /** Whether the scope is known and in effect. */
  isReady: () => boolean
  facts: () => RunFacts
  /** Of the identity of that name. */
  conditionsFor: (identity: string) => readonly ReportedCondition[]
  trustListeners: TrustListeners
  /** Addresses of a host for a user; empty when it has none. @throws Fault */
  lookUp: LookUp
}): readonly ControlRoute[] {
  return [
    { method: 'GET', path: '/status', everyone: false, answer: async () => status() },
    {
      method: 'GET',
      path: '/ready',
      everyone: true,
      async answer() {
        if (!isReady()) throw new Fault('SERVER_UNREACHABLE', 'no scope has come from the control plane yet')
        return { ready: true }
      },
    },
    { method: 'GET', path: '/run', everyone: true, answer: async () => facts() },
    { method: 'POST', path: '/trust-listener', everyone: true, answer: () => trustListeners.open() },
    {
      method: 'POST',
      path: '/resolve',
      everyone: true,
      answer: async (body, { uid }) => ({ addresses: await lookUp(hostOf(body), uid) }),
    },
    {
      method: 'POST',
      path: '/attest',
      everyone: true,
      async answer(body, caller): Promise<Attested> {
        const pid = field(body, 'pid')
        if (typeof pid !== 'number' || !Number.isInteger(pid) || pid < 1) {
          throw new Fault('WIRE_MALFORMED', 'pid is not a process number')
        }
        // SECURITY: attributes show what only the owner of a process may see, its environment for one; and to read them
        // may take long, which nobody may have done for the processes of others.
        const refuse = () => {
          throw new Fault('API_FORBIDDEN', `process ${pid} belongs to another user`)
        }
        const owner = statSync(`/proc/${pid}`, { throwIfNoEntry: false })?.uid
        if (!caller.trusted && owner !== undefined && owner !== caller.uid) refuse()
        const startTicks = await attestor.startOf(pid)
        const attestation = startTicks === undefined ? undefined : await attestor.attest(pid, startTicks)
        if (!attestation) throw new Fault('RESOURCE_NOT_FOUND', `there is no process ${pid}`)
        if (!caller.trusted && attestation.pin.uid !== caller.uid) refuse()
        const explanation = judge.explain(attestation)
        const { identity } = explanation
        return { ...explanation, conditions: identity === undefined ? [] : conditionsFor(identity) }
      },
    },
  ]
}

/** `bedrock.us-east-1.amazonaws.com:443=127.0.0.1:9443`, as it was set. */
export function formatConnectTo(entries: readonly ConnectTo[]): string {
  return entries
    .map(({ host, port, address, addressPort }) => `${host}:${port}=${address}:${addressPort}`)
    .join(',')
}
