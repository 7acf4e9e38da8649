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

/** Keeps the daemon's intermediate CAs fit for the hosts of its scope (security rule 17). */
export interface IntermediateKeeper {
  /** Asks for new ones where the hosts differ from those of the present ones. */
  setHosts(hosts: readonly string[]): void
  /** Resolves when the present ones cover all hosts, or after three seconds. */
  untilFit(): Promise<void>
  run(options: { signal: AbortSignal }): Promise<void>
}

/**
 * Room for the hosts of one intermediate, as its constraints take it: Java refuses a certificate message of more than
 * 32 KiB, OpenSSL one of more than 100, whichever of the hosts it connects to.
 */
const maxConstraintBytes = 28 * 1024
/** A host is permitted, and what is below it excluded. */
const constraintBytes = (host: string) => 2 * (host.length + 8)

/** Hosts with an intermediate of their own. */
interface Part {
  readonly hosts: Set<string>
  issued?: { readonly intermediate: Intermediate; readonly renewAt: number }
}

/** The parts for these hosts: each stays where it was, so that a change concerns one intermediate and not all. */
function divide(parts: readonly Part[], hosts: readonly string[]): Part[] {
  const left = new Set(hosts)
  for (const part of parts) for (const host of part.hosts) if (!left.delete(host)) part.hosts.delete(host)
  const filled = parts
    .filter((part) => part.hosts.size > 0)
    .map((part) => ({
      part,
      bytes: part.hosts.values().reduce((sum, host) => sum + constraintBytes(host), 0),
    }))
  for (const host of left) {
    const bytes = constraintBytes(host)
    let roomy = filled.find((one) => one.bytes + bytes <= maxConstraintBytes)
    if (!roomy) filled.push((roomy = { part: { hosts: new Set() }, bytes: 0 }))
    roomy.part.hosts.add(host)
    roomy.bytes += bytes
  }
  return filled.map(({ part }) => part)
}

/** Whether its intermediate is for its hosts, and for no others. */
const fits = ({ hosts, issued }: Part) =>
  hosts.symmetricDifference(new Set(issued?.intermediate.hosts)).size === 0

/** `onIssued` puts all that there are into effect whenever that changes; their keys live in memory only. */
export function openIntermediateKeeper({
  node,
  onIssued,
  clock,
  log,
  random,
}: {
  node: Node
  onIssued: (intermediates: readonly Intermediate[]) => Promise<void>
  clock: Clock
  log: Log
  random: () => number
}): IntermediateKeeper {
  let wanted: readonly string[] = []
  let parts: readonly Part[] = []
  let changed = new AbortController()
  let issued = new AbortController()
  /** What is in effect. */
  let told: readonly Intermediate[] = []
  const isFit = () => new Set(wanted).isSubsetOf(new Set(told.flatMap(({ hosts }) => hosts)))
  const isDue = (part: Part) => !part.issued || !fits(part) || clock.now() >= part.issued.renewAt
  const nextDue = () => (wanted.length > 0 ? parts.find(isDue) : undefined)

  const issue = async (part: Part) => {
    const hosts = [...part.hosts].sort()
    const { privateKey: key } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    try {
      const csrDer = createCertificateRequest(key)
      const response = await node.connection().client.issueIntermediate({ csrDer, hosts })
      const chain = response.chainDer.map(parseCertificate)
      const notAfter = Number(response.notAfterEpochMs)
      if (notAfter <= clock.now()) throw clockAhead('the new intermediate')
      const renewAt = clock.now() + (notAfter - clock.now()) / 2
      part.issued = { intermediate: { key, chain, hosts }, renewAt }
      log.info('intermediate.issued', { hosts: hosts.length, notAfter: new Date(notAfter).toISOString() })
    } catch (error) {
      throw error instanceof ConnectError ? callFault(error, 'issuing the intermediate') : toFault(error)
    }
  }
  const tell = async () => {
    const present = parts.flatMap((part) => part.issued?.intermediate ?? [])
    if (present.length === told.length && present.every((one, index) => one === told[index])) return
    await onIssued(present)
    told = present
    issued.abort()
    issued = new AbortController()
  }
  return {
    setHosts(hosts) {
      if (hosts.join(' ') === wanted.join(' ')) return
      wanted = hosts
      // What was there stays where nothing is bound for a moment.
      if (hosts.length > 0) parts = divide(parts, hosts)
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
        const due = nextDue()
        try {
          await tell()
          if (due) await issue(due)
          await tell()
          failures = 0
        } catch (error) {
          log.warn('intermediate.failed', { error: toFault(error).message })
          failures++
          // The others are not kept waiting by one that cannot be had.
          parts = [...parts.filter((part) => part !== due), ...parts.filter((part) => part === due)]
        }
        // A change that came while we were asking has aborted an older signal: look again at once.
        if (failures === 0 && nextDue()) continue
        const renewAt = Math.min(...parts.map((part) => part.issued?.renewAt ?? Infinity))
        const next = failures > 0 ? clock.now() + backoffMs(failures - 1, { ...retry, random }) : renewAt
        await clock.until(next, { signal: AbortSignal.any([signal, changed.signal]) }).catch(() => {})
      }
    },
  }
}
