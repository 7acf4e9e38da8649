import type { AuthScheme, Leaf, Partition, Service } from './rule-sets.ts'

/** What endpoint-table.ts holds; the meaning of each part is said there. */
export interface Table {
  readonly suffixes: ReadonlyMap<string, string>
  readonly signingNames: ReadonlyMap<string, string>
  readonly hostRegions: ReadonlyMap<string, string>
  readonly fixedRegions: ReadonlyMap<string, string>
  readonly regionSets: ReadonlyMap<string, string>
  readonly ambiguousNames: ReadonlyMap<string, string>
  readonly regionFirst: ReadonlyMap<string, string>
}

/** A leaf that the table says nothing about, and why. */
export interface LeftOut {
  readonly service: string
  readonly url: string
  readonly reason: string
}

/** A URL of a rule set, cut into what tells the signing scope. */
interface Pattern {
  /** Labels before the region or the suffix, from the first that no caller chooses; no variants. */
  readonly key: string
  /** Undefined where any partition's stands there. */
  readonly suffix: string | undefined
  readonly hasRegion: boolean
}

const placeholder = /\{[^}]*\}/
const regionPlaceholder = /^\{(?:Region|PartitionResult#implicitGlobalRegion|\w+#region)\}$/
const region = /^[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}$/
/** Hosts of customers' resources: not in partitions.json. */
const resourceSuffix = 'on.aws'

function suffixesOf(partitions: readonly Partition[]): Map<string, string> {
  const suffixes = new Map<string, string>()
  for (const { id, outputs } of partitions) {
    const { implicitGlobalRegion: home, dnsSuffix, dualStackDnsSuffix } = outputs
    for (const suffix of new Set([dnsSuffix, dualStackDnsSuffix])) {
      // GovCloud shares the suffix of the commercial partition, and puts its name before it.
      suffixes.set(suffixes.has(suffix) ? `${id.replace('aws-', '')}.${suffix}` : suffix, home)
    }
  }
  return suffixes
}

const anySuffix = /\{\w+#(?:dnsSuffix|dualStackDnsSuffix)\}$/

function patternOf(host: string, suffixes: ReadonlyMap<string, string>): Pattern | undefined {
  const suffix = [...suffixes.keys(), resourceSuffix]
    .toSorted((a, b) => b.length - a.length)
    .find((one) => host.endsWith(`.${one}`))
  if (suffix === undefined && !anySuffix.test(host)) return undefined
  const labels = host.slice(0, host.length - (suffix?.length ?? anySuffix.exec(host)![0].length)).split('.')
  const named = labels.filter((label) => !['', 'dualstack', 'fips', 'global', 'us-gov'].includes(label))
  const at = named.findLastIndex((label) => regionPlaceholder.test(label) || region.test(label))
  const left = named.slice(0, at === -1 ? undefined : at).map((label) => label.replace(/-fips$/, ''))
  const key = left.slice(left.findLastIndex((label) => placeholder.test(label)) + 1).join('.')
  return key === '' ? undefined : { key, suffix, hasRegion: at !== -1 }
}

/** What stands behind `{Region}.` where that is all of a host: a label before any partition's suffix, or a domain. */
function behindRegion(host: string): string | undefined {
  const rest = /^\{Region\}\.(.+)$/
    .exec(host)?.[1]
    ?.replace(/\.\{\w+#(?:dnsSuffix|dualStackDnsSuffix)\}$/, '')
  return rest === undefined || placeholder.test(rest) ? undefined : rest
}

/** The hosts of a leaf: with what operations put before it, and their values in place of parameters. */
function hostsOf({ url }: Leaf, { hostPrefixes, constants }: Service): string[] {
  const host = /^https:\/\/([^/]+)/.exec(url)?.[1]
  if (host === undefined || host.includes('{url#')) return []
  let hosts = hostPrefixes.map((prefix) => prefix + host)
  for (const [parameter, values] of constants) {
    hosts = hosts.flatMap((one) => values.map((value) => one.replace(`{${parameter}}`, value)))
  }
  return [...new Set(hosts)]
}

/** What signs a leaf: SigV4 where it may, as it costs less than SigV4A. */
function schemeOf({ authSchemes }: Leaf): AuthScheme | undefined {
  return authSchemes.find(({ name }) => !name.startsWith('sigv4a')) ?? authSchemes[0]
}

/** What endpoint.ts makes of labels: the longest listed end of them, or else the last label itself. */
function lookUp(signingNames: ReadonlyMap<string, string>, key: string): string {
  const labels = key.split('.')
  const ends = labels.map((_, from) => labels.slice(from).join('.'))
  return signingNames.get(ends.find((end) => signingNames.has(end)) ?? '') ?? labels.at(-1)!
}

/** The fewest entries that still give every key its name. */
function withoutRules(names: ReadonlyMap<string, string>): Map<string, string> {
  const kept = new Map<string, string>()
  const byLength = [...names].toSorted(([a], [b]) => a.split('.').length - b.split('.').length)
  for (const [key, name] of byLength) if (lookUp(kept, key) !== name) kept.set(key, name)
  return kept
}

export function buildTable(
  partitions: readonly Partition[],
  services: readonly Service[],
): { table: Table; left: LeftOut[] } {
  const suffixes = suffixesOf(partitions)
  const names = new Map<string, Set<string>>()
  const hostRegions = new Map<string, string>()
  const fixedRegions = new Map<string, string>()
  const regionSets = new Map<string, string>()
  const regionFirst = new Map<string, string>()
  const left: LeftOut[] = []

  const add = (service: Service, leaf: Leaf, host: string): string | undefined => {
    const domain = behindRegion(host)
    if (domain !== undefined) {
      regionFirst.set(domain, schemeOf(leaf)?.signingName ?? service.signingName)
      return undefined
    }
    const pattern = patternOf(host, suffixes)
    if (!pattern) return 'no service label, or a suffix of no partition'
    const { key, suffix, hasRegion } = pattern
    const scheme = schemeOf(leaf)
    const known = names.get(key) ?? new Set()
    names.set(key, known.add(scheme?.signingName ?? service.signingName))
    const own = scheme?.signingRegion
    const isFixed = own !== undefined && !placeholder.test(own)
    if (hasRegion) {
      if (isFixed && !host.includes(own)) fixedRegions.set(key, own)
      return undefined
    }
    if (scheme?.signingRegionSet) regionSets.set(key, scheme.signingRegionSet.join(','))
    if (!isFixed) return undefined
    if (suffix === undefined) return `signed for ${own} whatever the partition`
    if (suffixes.get(suffix) !== own) hostRegions.set(`${key}.${suffix}`, own)
    return undefined
  }
  for (const service of services) {
    for (const leaf of service.leaves) {
      for (const host of hostsOf(leaf, service)) {
        const reason = add(service, leaf, host)
        if (reason !== undefined) left.push({ service: service.name, url: host, reason })
      }
    }
  }
  const joined = new Map([...names].map(([key, all]) => [key, [...all].toSorted().join(' ')]))
  const listed = [...withoutRules(joined)]
  const isAmbiguous = ([, name]: readonly [string, string]) => name.includes(' ')
  return {
    table: {
      suffixes,
      signingNames: new Map(listed.filter((entry) => !isAmbiguous(entry))),
      ambiguousNames: new Map(listed.filter(isAmbiguous)),
      hostRegions,
      fixedRegions,
      regionSets,
      regionFirst,
    },
    left,
  }
}
