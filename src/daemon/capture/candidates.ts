import type { ScopedIdentity, SelectorMap } from '#model/scope'

/** What the kernel can tell a process by, without user space. `level` is the depth of the cgroup. */
export type CandidateRule =
  | { readonly kind: 'executable'; readonly device: number; readonly inode: bigint }
  | {
      readonly kind: 'executable-and-uid'
      readonly device: number
      readonly inode: bigint
      readonly uid: number
    }
  | { readonly kind: 'cgroup'; readonly id: bigint; readonly level: number }
  | { readonly kind: 'uid' | 'gid'; readonly id: number }
  | { readonly kind: 'name'; readonly name: string }
export type CandidateKind = CandidateRule['kind']

export interface Candidates {
  readonly rules: readonly CandidateRule[]
  /** Every process is a candidate. */
  readonly captureAll: boolean
  /** Identities of which some selector names nothing that the kernel can tell processes by. */
  readonly notCapturable: readonly { readonly identity: string; readonly reason: string }[]
}

export interface CandidateSources {
  /** Device (kernel encoding) and inode of the executable at `path`; undefined when there is none now. */
  resolveExecutable(path: string): { readonly device: number; readonly inode: bigint } | undefined
  /** The cgroups that a selector such as `systemd:unit` names; undefined when it cannot be said. */
  resolveCgroups?(
    key: string,
    value: string,
  ): readonly { readonly id: bigint; readonly level: number }[] | undefined
}

// The kernel looks at cgroups down to this depth (CGROUP_LEVELS in capture.bpf.c).
const cgroupLevels = 8
const decimal = /^\d{1,10}$/
/** Of executables and uids in one selector; beyond that the executables alone are the filter. */
const maxPairs = 256

/** For each selector key, from most to least selective, the rules that together cover its values. */
function rulesOf(selector: SelectorMap, sources: CandidateSources): CandidateRule[] | undefined {
  const paths = selector['process:binary:path']
  const uids = selector['process:uid']
  if (paths) {
    const files = paths.flatMap((path) => sources.resolveExecutable(path) ?? [])
    if (!uids || files.length * uids.length > maxPairs) {
      return files.map((file) => ({ kind: 'executable', ...file }))
    }
    // Both, so that other users of the program pay nothing and keep their network while the daemon is dead.
    return files.flatMap((file) =>
      uids
        .filter((uid) => decimal.test(uid))
        .map((uid) => ({ kind: 'executable-and-uid', ...file, uid: Number(uid) }) as const),
    )
  }
  for (const [key, values] of Object.entries(selector)) {
    const cgroups = values.map((value) => sources.resolveCgroups?.(key, value))
    if (cgroups.some((found) => !found)) continue
    const rules = cgroups.flatMap((found) => found!.map((cgroup) => ({ kind: 'cgroup', ...cgroup }) as const))
    if (rules.every(({ level }) => level < cgroupLevels)) return rules
  }
  for (const kind of ['uid', 'gid'] as const) {
    const ids = selector[`process:${kind}`]
    if (ids) return ids.flatMap((id) => (decimal.test(id) ? [{ kind, id: Number(id) }] : []))
  }
  return selector['process:name']?.map((name) => ({ kind: 'name', name }))
}

/**
 * The kernel's candidate filter for `identities` (security rule 1): for each selector the most selective key that
 * the kernel can test. It lets through more than the selectors match and never less. Executables and cgroups come
 * and go: compile again when they may have.
 */
export function compileCandidates(
  identities: readonly ScopedIdentity[],
  sources: CandidateSources,
): Candidates {
  const rules: CandidateRule[] = []
  const notCapturable: { identity: string; reason: string }[] = []
  for (const identity of identities) {
    for (const selector of identity.captureAll ? [] : identity.selectors) {
      const found = rulesOf(selector, sources)
      if (found) rules.push(...found)
      else {
        const keys = Object.keys(selector).join(', ') || 'nothing'
        notCapturable.push({
          identity: identity.name,
          reason: `the kernel cannot filter by ${keys}: add an executable, uid, gid or name, or set captureAll`,
        })
      }
    }
  }
  return { rules, captureAll: identities.some(({ captureAll }) => captureAll), notCapturable }
}
