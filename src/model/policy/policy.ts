import type { SpiffeId } from '#model/identity'
import {
  credentialKey,
  satisfiesCapture,
  type CaptureLevel,
  type Scope,
  type ScopedBinding,
  type ScopedCredential,
  type ScopedIdentity,
  type ScopedService,
} from '#model/scope'

/** One connection, as far as it is known before its first request. */
export interface Query {
  readonly identity: ScopedIdentity
  readonly level: CaptureLevel
  /**
   * Name or IP address that the upstream will be held to, in lower case: from the ClientHello for TLS, from the
   * daemon's own resolution for plain text. For plain text by address alone: that address.
   */
  readonly host: string
  readonly port: number
  readonly tls: boolean
}

/** A binding, the Service through which it applies, and the credential of the moment. */
export interface Grant {
  readonly binding: ScopedBinding
  readonly service: ScopedService
  readonly credential?: ScopedCredential
}

export type Decision =
  | { readonly action: 'splice'; readonly why: 'unbound' | 'not-intercepted' }
  | {
      readonly action: 'refuse'
      readonly code: 'BINDING_AMBIGUOUS' | 'CAPTURE_INSUFFICIENT'
      readonly reason: string
    }
  | ({ readonly action: 'inject' } & Grant)

export interface Policy {
  decide(query: Query): Decision
  /** Whether a Service bound to this identity is reached on this port; else a connection needs no look inside. */
  usesPort(spiffeId: SpiffeId, port: number): boolean
  /** Hosts without wildcard bound to this identity on this port: those that a plain-text address may stand for. */
  plainHosts(spiffeId: SpiffeId, port: number): readonly string[]
}

interface Entry {
  readonly binding: ScopedBinding
  readonly service: ScopedService
  readonly port: number | undefined
}

interface Reach {
  /** By host, or by `*.` and what follows the leftmost label. */
  readonly hosts: Map<string, Entry[]>
  readonly ports: Set<number>
}

/** What an address without a port stands for. */
const defaultPorts: readonly number[] = [443, 80]
const unbound = Object.freeze({ action: 'splice', why: 'unbound' } as const)
const notIntercepted = Object.freeze({ action: 'splice', why: 'not-intercepted' } as const)

/** SECURITY: what is meant for TLS (port 443, a CA of its own) is never signed in plain text. */
function reaches({ service, port: listed }: Entry, { port, tls }: { port: number; tls: boolean }): boolean {
  if (!tls && (port === 443 || service.caBundlePem !== undefined)) return false
  return listed === undefined ? port === (tls ? 443 : 80) : port === listed
}

function compile(scope: Scope): Map<SpiffeId, Reach> {
  const identities = new Map<SpiffeId, Reach>()
  for (const binding of scope.bindings.values()) {
    const reach = identities.get(binding.spiffeId) ?? { hosts: new Map<string, Entry[]>(), ports: new Set() }
    identities.set(binding.spiffeId, reach)
    for (const serviceName of binding.serviceNames) {
      const service = scope.services.get(serviceName)
      for (const { host, port } of service?.addresses ?? []) {
        const entries = reach.hosts.get(host) ?? []
        reach.hosts.set(host, entries)
        entries.push({ binding, service: service!, port })
        for (const used of port === undefined ? defaultPorts : [port]) reach.ports.add(used)
      }
    }
  }
  return identities
}

/** `*.` stands for exactly one label, so one look-up finds every wildcard that covers a host. */
export function wildcardOf(host: string): string {
  return `*${host.slice(Math.max(0, host.indexOf('.')))}`
}

function refusal(entries: readonly Entry[], query: Query): Decision | undefined {
  const names = new Set(entries.map(({ binding }) => binding.name))
  if (names.size > 1) {
    const listed = [...names].sort().join(', ')
    return {
      action: 'refuse',
      code: 'BINDING_AMBIGUOUS',
      reason: `several bindings of ${query.identity.name} name ${query.host}: ${listed}`,
    }
  }
  const { name, minimumCapture } = entries[0]!.binding
  if (satisfiesCapture(query.level, minimumCapture)) return undefined
  return {
    action: 'refuse',
    code: 'CAPTURE_INSUFFICIENT',
    reason: `binding ${name} demands capture level ${minimumCapture}, this connection has ${query.level}`,
  }
}

/**
 * Compiles a scope. Two bindings of one identity that name the same host make it unusable (security rule 14),
 * whether by the same Service or not, exactly or by wildcard; within one binding the exact name wins.
 */
export function openPolicy(scope: Scope): Policy {
  const identities = compile(scope)
  return {
    decide(query) {
      const hosts = identities.get(query.identity.spiffeId)?.hosts
      const exact = hosts?.get(query.host) ?? []
      const wide = hosts?.get(wildcardOf(query.host)) ?? []
      const entries = exact.concat(wide).filter((entry) => reaches(entry, query))
      if (entries.length === 0) return unbound
      if (query.tls && !query.identity.intercept) return notIntercepted
      const refused = refusal(entries, query)
      if (refused) return refused
      const { binding, service } = entries[0]!
      const credential = scope.credentials.get(credentialKey(binding.spiffeId, binding.sourceName))
      return { action: 'inject', binding, service, ...(credential && { credential }) }
    },
    usesPort: (spiffeId, port) => identities.get(spiffeId)?.ports.has(port) ?? false,
    plainHosts(spiffeId, port) {
      const hosts = identities.get(spiffeId)?.hosts ?? new Map<string, Entry[]>()
      return [...hosts]
        .filter(([host]) => !host.startsWith('*.'))
        .filter(([, entries]) => entries.some((entry) => reaches(entry, { port, tls: false })))
        .map(([host]) => host)
    },
  }
}
