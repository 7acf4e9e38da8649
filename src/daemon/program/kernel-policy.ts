import { readdirSync, statSync } from 'node:fs'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import {
  cgroupAt,
  cgroupMount,
  compileCandidates,
  kernelFileId,
  openPolicyRoom,
  type Candidates,
  type CandidateSources,
  type Capture,
  type CapturedDestination,
  type Cgroup,
} from '#daemon/capture'
import type { FileId, ProcessAttestor } from '#daemon/attestation'
import type { Scope, ScopedService } from '#model/scope'
import { selectorValues } from '#model/selectors'

const defaultPorts = [443, 80]

function isLoopbackAddress(host: string): boolean {
  return host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

/** The ports of a Service; loopback only address by address (security rule 7). */
function destinationsAt({ addresses }: ScopedService): CapturedDestination[] {
  return addresses.flatMap(({ host, port }) => {
    const loopback = isLoopbackAddress(host) && { loopbackAddress: host }
    return (port === undefined ? defaultPorts : [port]).map((each) => ({ port: each, ...loopback }))
  })
}

/** Where the bindings of each identity lead. Identities may share a workload ID, and have its bindings all. */
function destinationsOf(scope: Scope): ReadonlyMap<string, readonly CapturedDestination[]> {
  const found = new Map<string, CapturedDestination[]>()
  const sharing = Map.groupBy(scope.identities.values(), ({ spiffeId }) => spiffeId)
  for (const { spiffeId, serviceNames } of scope.bindings.values()) {
    const services = serviceNames.flatMap((name) => scope.services.get(name) ?? [])
    for (const { name } of sharing.get(spiffeId) ?? []) {
      found.set(name, [...(found.get(name) ?? []), ...services.flatMap(destinationsAt)])
    }
  }
  return found
}

/** What is there and goes meanwhile, as cgroups do at any time, is not there. */
function ifPresent<T>(look: () => T[]): T[] {
  try {
    return look()
  } catch {
    return []
  }
}

/** Directories called `unit` below slices only: where systemd puts the units of the system. */
function unitDirectories(folder: string, unit: string): string[] {
  return ifPresent(() => readdirSync(folder, { withFileTypes: true })).flatMap((entry) => {
    if (!entry.isDirectory()) return []
    if (entry.name === unit) return [join(folder, unit)]
    return entry.name.endsWith('.slice') ? unitDirectories(join(folder, entry.name), unit) : []
  })
}

/** The cgroup at `path`; none when there is none. SECURITY: selectors name paths, and may name anything. */
function cgroupsAt(path: string): Cgroup[] {
  return ifPresent(() => [cgroupAt(path)])
}

/** The cgroups behind a selector; undefined for keys that name none. */
function resolveCgroups(key: string, value: string): readonly Cgroup[] | undefined {
  const mount = cgroupMount()
  if (key === 'process:cgroup') return value.startsWith('/') ? cgroupsAt(join(mount, value)) : undefined
  if (key !== 'systemd:unit') return undefined
  const directories = unitDirectories(mount, value)
  // On hybrid systems the units are in systemd's own hierarchy, which the kernel programs do not see.
  return directories.length > 0 || statSync(join(mount, 'system.slice'), { throwIfNoEntry: false })
    ? directories.flatMap(cgroupsAt)
    : undefined
}

interface Compiled {
  readonly candidates: Candidates
  readonly destinations: ReadonlyMap<number, readonly CapturedDestination[]>
  readonly numbers: ReadonlyMap<string, number>
}

type Files = ReadonlyMap<string, FileId>

/**
 * `hidden`: the executables that we may not see ourselves. What the kernel has no room for is left out and named: the
 * largest first, so that nobody's identity takes the room of those of others.
 */
function compile(scope: Scope, hidden: Files): Compiled {
  const sources: CandidateSources = {
    resolveExecutable: (path) => kernelFileId(path) ?? hidden.get(path),
    resolveCgroups,
  }
  const parts = [...destinationsOf(scope)].map(([name, destinations], index) => {
    const candidates = compileCandidates([scope.identities.get(name)!], sources)
    const { rules } = candidates
    return {
      name,
      number: index + 1,
      destinations,
      rules,
      candidates,
      size: rules.length + destinations.length,
    }
  })
  const room = openPolicyRoom()
  const held = new Set(
    parts.toSorted((a, b) => a.size - b.size).filter((part) => room.take(part.number, part)),
  )
  const captured = parts.filter((part) => held.has(part))
  const tooLarge = parts.filter((part) => !held.has(part))
  return {
    candidates: {
      rules: captured.flatMap(({ rules }) => rules),
      captureAll: captured.some(({ candidates }) => candidates.captureAll),
      notCapturable: [
        ...parts.flatMap(({ candidates }) => candidates.notCapturable),
        ...tooLarge.map(({ name, rules, destinations }) => ({
          identity: name,
          reason: `the kernel has no room for its ${rules.length} executables, users and groups, and ${destinations.length} ports: name fewer in its selectors and Services`,
        })),
      ],
    },
    destinations: new Map(captured.map(({ number, destinations }) => [number, destinations])),
    numbers: new Map(captured.map(({ name, number }) => [name, number])),
  }
}

/** Keeps the kernel's policy equal to the scope, executables and cgroups that come and go included. */
export interface KernelPolicy {
  /** Looks for executables that only the attestor may see, in a home of mode 0700 for one; `update` then has them. */
  look(scope: Scope): Promise<void>
  /** Compiles the scope; the kernel gets it if it differs from what it has, or if `force`. */
  update(scope: Scope, options?: { force?: boolean }): { changed: boolean }
  /** What the kernel calls each captured identity. */
  numbers(): ReadonlyMap<string, number>
  notCapturable(): Candidates['notCapturable']
}

export function openKernelPolicy(
  capture: Pick<Capture, 'setPolicy'>,
  attestor: Pick<ProcessAttestor, 'locate'>,
): KernelPolicy {
  let present: Compiled | undefined
  let hidden: Files = new Map()
  return {
    async look(scope) {
      const named = selectorValues(scope.identities.values(), 'process:binary:path')
      const unseen = named.filter((path) => !kernelFileId(path))
      // An attestor that is late is asked again soon: until then what it said last counts.
      if (unseen.length > 0) hidden = await attestor.locate(unseen).catch(() => hidden)
    },
    update(scope, { force = false } = {}) {
      const next = compile(scope, hidden)
      if (!force && present && isDeepStrictEqual(next, present)) return { changed: false }
      capture.setPolicy(next)
      present = next
      return { changed: true }
    },
    numbers: () => present?.numbers ?? new Map(),
    notCapturable: () => present?.candidates.notCapturable ?? [],
  }
}
