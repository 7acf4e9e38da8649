import { readdirSync, statSync } from 'node:fs'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import {
  cgroupAt,
  cgroupMount,
  compileCandidates,
  kernelFileId,
  type Candidates,
  type Capture,
  type CapturedDestination,
} from '#daemon/capture'
import type { Scope, ScopedIdentity } from '#model/scope'

const defaultPorts = [443, 80]

function isLoopbackAddress(host: string): boolean {
  return host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

/** Ports of the Services that bindings of each identity name; loopback only address by address (security rule 7). */
function destinationsOf(scope: Scope): ReadonlyMap<string, readonly CapturedDestination[]> {
  const found = new Map<string, CapturedDestination[]>()
  const bound = new Map([...scope.identities.values()].map((identity) => [identity.spiffeId, identity.name]))
  for (const { spiffeId, serviceNames } of scope.bindings.values()) {
    const name = bound.get(spiffeId)
    if (name === undefined) continue
    const destinations = found.get(name) ?? []
    for (const service of serviceNames) {
      for (const { host, port } of scope.services.get(service)?.addresses ?? []) {
        const ports = port === undefined ? defaultPorts : [port]
        const loopback = isLoopbackAddress(host) && { loopbackAddress: host }
        destinations.push(...ports.map((port) => ({ port, ...loopback })))
      }
    }
    found.set(name, destinations)
  }
  return found
}

/** Directories called `unit` below slices only: where systemd puts the units of the system. */
function unitDirectories(folder: string, unit: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (!entry.isDirectory()) return []
    if (entry.name === unit) return [join(folder, unit)]
    return entry.name.endsWith('.slice') ? unitDirectories(join(folder, entry.name), unit) : []
  })
}

/** The cgroups behind a selector; undefined for keys that name none. */
function resolveCgroups(key: string, value: string): { id: bigint; level: number }[] | undefined {
  const mount = cgroupMount()
  if (key === 'process:cgroup') {
    if (!value.startsWith('/')) return undefined
    const path = join(mount, value)
    return statSync(path, { throwIfNoEntry: false }) ? [cgroupAt(path)] : []
  }
  if (key !== 'systemd:unit') return undefined
  const directories = unitDirectories(mount, value)
  // On hybrid systems the units are in systemd's own hierarchy, which the kernel programs do not see.
  return directories.length > 0 || statSync(join(mount, 'system.slice'), { throwIfNoEntry: false })
    ? directories.map(cgroupAt)
    : undefined
}

interface Compiled {
  readonly candidates: Candidates
  readonly destinations: ReadonlyMap<number, readonly CapturedDestination[]>
  readonly numbers: ReadonlyMap<string, number>
}

function compile(scope: Scope): Compiled {
  const byName = destinationsOf(scope)
  const captured = [...byName.keys()]
  const identities = captured.map((name): ScopedIdentity => scope.identities.get(name)!)
  const numbers = new Map(captured.map((name, index) => [name, index + 1]))
  return {
    candidates: compileCandidates(identities, {
      resolveExecutable: (path) => kernelFileId(path),
      resolveCgroups,
    }),
    destinations: new Map(captured.map((name) => [numbers.get(name)!, byName.get(name)!])),
    numbers,
  }
}

/** Keeps the kernel's policy equal to the scope, executables and cgroups that come and go included. */
export interface KernelPolicy {
  /** Compiles the scope; the kernel gets it if it differs from what it has, or if `force`. */
  update(scope: Scope, options?: { force?: boolean }): { changed: boolean }
  /** What the kernel calls each captured identity. */
  numbers(): ReadonlyMap<string, number>
  notCapturable(): Candidates['notCapturable']
}

export function openKernelPolicy(capture: Pick<Capture, 'setPolicy'>): KernelPolicy {
  let present: Compiled | undefined
  return {
    update(scope, { force = false } = {}) {
      const next = compile(scope)
      if (!force && present && isDeepStrictEqual(next, present)) return { changed: false }
      capture.setPolicy(next)
      present = next
      return { changed: true }
    },
    numbers: () => present?.numbers ?? new Map(),
    notCapturable: () => present?.candidates.notCapturable ?? [],
  }
}
