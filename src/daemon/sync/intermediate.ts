import { generateKeyPairSync, type KeyObject, type X509Certificate } from 'node:crypto'
import { ConnectError } from '@connectrpc/connect'
import { backoffMs, type Clock } from '#base/clock'
import { toFault } from '#base/errors'
import type { Log } from '#base/log'
import { createCertificateRequest, parseCertificate } from '#model/pki'
import type { Scope } from '#model/scope'
import { callFault, clockAhead } from './enrollment.ts'
import type { Node } from './node.ts'

export interface Intermediate {
  readonly key: KeyObject
  /** The intermediate first, its root last. */
  readonly chain: readonly X509Certificate[]
  /** What it is constrained to. */
  readonly hosts: readonly string[]
}

const retry = { baseMs: 500, maxMs: 30_000 }
const fitLimitMs = 3_000

/** Every host that a binding of the scope can reach, in order: what the intermediate is constrained to. */
export function boundHosts(scope: Scope): readonly string[] {
  const names = new Set<string>()
  for (const { serviceNames } of scope.bindings.values()) {
    for (const service of serviceNames) {
      for (const { host } of scope.services.get(service)?.addresses ?? []) names.add(host)
    }
  }
  return [...names].sort()
}

/** Keeps the daemon's intermediate CA fit for the hosts of its scope (security rule 17). */
export interface IntermediateKeeper {
  /** Asks for a new one where the hosts differ from those of the present one. */
  setHosts(hosts: readonly string[]): void
  /** Resolves when the present one covers all hosts, or after three seconds. */
  untilFit(): Promise<void>
  run(options: { signal: AbortSignal }): Promise<void>
}

/** `onIssued` puts each new one into effect; its key is made for it and lives in memory only. */
export function openIntermediateKeeper({
  node,
  onIssued,
  clock,
  log,
  random,
}: {
  node: Node
  onIssued: (intermediate: Intermediate) => Promise<void>
  clock: Clock
  log: Log
  random: () => number
}): IntermediateKeeper {
  let wanted: readonly string[] = []
  let issuedFor: readonly string[] = []
  let renewAt = Infinity
  let changed = new AbortController()
  let issued = new AbortController()
  const isSame = () => wanted.join(' ') === issuedFor.join(' ')
  const isFit = () => wanted.every((host) => issuedFor.includes(host))

  const issue = async () => {
    const hosts = wanted
    const { privateKey: key } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    try {
      const csrDer = createCertificateRequest(key)
      const response = await node.connection().client.issueIntermediate({ csrDer, hosts: [...hosts] })
      const chain = response.chainDer.map(parseCertificate)
      const notAfter = Number(response.notAfterEpochMs)
      if (notAfter <= clock.now()) throw clockAhead('the new intermediate')
      await onIssued({ key, chain, hosts })
      issuedFor = hosts
      renewAt = clock.now() + (notAfter - clock.now()) / 2
      issued.abort()
      issued = new AbortController()
      log.info('intermediate.issued', { hosts: hosts.length, notAfter: new Date(notAfter).toISOString() })
    } catch (error) {
      throw error instanceof ConnectError ? callFault(error, 'issuing the intermediate') : toFault(error)
    }
  }
  return {
    setHosts(hosts) {
      if (hosts.join(' ') === wanted.join(' ')) return
      wanted = hosts
      changed.abort()
      changed = new AbortController()
    },
    async untilFit() {
      const until = clock.monotonic() + fitLimitMs
      for (let left = fitLimitMs; !isFit() && left > 0; left = until - clock.monotonic()) {
        await clock.sleep(left, { signal: issued.signal, unref: true }).catch(() => {})
      }
    },
    async run({ signal }) {
      let failures = 0
      while (!signal.aborted) {
        const due = wanted.length > 0 && (!isSame() || clock.now() >= renewAt)
        if (due) {
          try {
            await issue()
            failures = 0
          } catch (error) {
            log.warn('intermediate.failed', { error: toFault(error).message })
            failures++
          }
        }
        const idle = Math.min(60_000, Math.max(0, renewAt - clock.now()))
        const pause = failures > 0 ? backoffMs(failures - 1, { ...retry, random }) : idle
        // A change that came while we were asking has aborted an older signal: look again at once.
        if (failures === 0 && wanted.length > 0 && !isSame()) continue
        await clock.sleep(pause, { signal: AbortSignal.any([signal, changed.signal]) }).catch(() => {})
      }
    },
  }
}
