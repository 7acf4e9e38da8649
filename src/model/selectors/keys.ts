import type { ScopedIdentity } from '#model/scope'
/**
 * The selector keys that a daemon can evaluate (design section 2). `docker:*` and `k8s:*` are legal in resources
 * but have no attribute yet: a selector that uses them never matches.
 */
const exactKeys: ReadonlySet<string> = new Set([
  'process:name',
  'process:binary:path',
  'process:binary:hash',
  'process:cmdline',
  'process:uid',
  'process:gid',
  'process:cgroup',
  'systemd:unit',
  'destination:port',
])

const ancestorKeys: ReadonlySet<string> = new Set([
  'name',
  'binary:path',
  'binary:hash',
  'cmdline',
  'uid',
  'gid',
])

const environmentPrefix = 'process:env:'
const ancestorPrefix = 'process:ancestor:'

/** The variable that `process:env:NAME` asks for; undefined for other keys. */
export function environmentNameOf(key: string): string | undefined {
  return key.startsWith(environmentPrefix) ? key.slice(environmentPrefix.length) : undefined
}

/** Whether a daemon collects what `key` asks for. */
export function isCollected(key: string): boolean {
  if (exactKeys.has(key)) return true
  if (key.startsWith(ancestorPrefix)) return ancestorKeys.has(key.slice(ancestorPrefix.length))
  return (environmentNameOf(key) ?? '') !== ''
}

/**
 * Whether the process itself (or its parent, for ancestors) writes the value: name, command line, environment.
 * SECURITY: such a key narrows a match but never decides between identities (security rule 11).
 */
export function isWeak(key: string): boolean {
  const own = key.startsWith(ancestorPrefix) ? `process:${key.slice(ancestorPrefix.length)}` : key
  return own === 'process:name' || own === 'process:cmdline' || own.startsWith(environmentPrefix)
}

/** Whether `key` compares by prefix; all others compare exactly. */
export function isPrefixKey(key: string): boolean {
  return key === 'process:cmdline' || key === 'process:ancestor:cmdline'
}

/** What the selectors of these identities say for a key, each value once. */
export function selectorValues(identities: Iterable<ScopedIdentity>, key: string): readonly string[] {
  const selectors = [...identities].flatMap((identity) => identity.selectors)
  return [...new Set(selectors.flatMap((selector) => selector[key] ?? []))]
}
