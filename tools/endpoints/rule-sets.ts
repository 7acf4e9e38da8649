import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { gunzipSync } from 'node:zlib'

/** Reads the data that botocore ships: https://github.com/boto/botocore/tree/develop/botocore/data */

/** One leaf of an endpoint rule set ("endpoint rule object" of the Smithy rules engine). */
export interface Leaf {
  readonly url: string
  readonly authSchemes: readonly AuthScheme[]
}

export interface AuthScheme {
  readonly name: string
  readonly signingName?: string
  readonly signingRegion?: string
  readonly signingRegionSet?: readonly string[]
}

export interface Service {
  readonly name: string
  /** What its requests are signed for where a leaf says nothing else. */
  readonly signingName: string
  readonly leaves: readonly Leaf[]
  /** What operations put in front of the host, `''` among them. */
  readonly hostPrefixes: readonly string[]
  /** Values that operations fix for parameters of the rule set. */
  readonly constants: ReadonlyMap<string, readonly string[]>
}

export interface Partition {
  readonly id: string
  readonly regions: Readonly<Record<string, unknown>>
  readonly outputs: {
    readonly dnsSuffix: string
    readonly dualStackDnsSuffix: string
    readonly implicitGlobalRegion: string
  }
}

interface Rule {
  readonly rules?: readonly Rule[]
  readonly endpoint?: {
    readonly url: string | object
    readonly properties?: { readonly authSchemes?: readonly AuthScheme[] }
  }
}

interface Operation {
  readonly endpoint?: { readonly hostPrefix?: string }
  readonly staticContextParams?: Readonly<Record<string, { readonly value: unknown }>>
}

interface Model {
  readonly metadata: {
    readonly endpointPrefix: string
    readonly signingName?: string
    readonly signatureVersion?: string
  }
  readonly operations: Readonly<Record<string, Operation>>
}

/** The file `name`, or the same compressed, as releases on PyPI have it. */
function readJson(folder: string, name: string): unknown {
  const files = readdirSync(folder)
  if (files.includes(name)) return JSON.parse(readFileSync(path.join(folder, name), 'utf8'))
  return JSON.parse(gunzipSync(readFileSync(path.join(folder, `${name}.gz`))).toString())
}

function leavesOf({ endpoint, rules = [] }: Rule): Leaf[] {
  const own =
    typeof endpoint?.url === 'string'
      ? [{ url: endpoint.url, authSchemes: endpoint.properties?.authSchemes ?? [] }]
      : []
  return [...own, ...rules.flatMap(leavesOf)]
}

/** Undefined for those that only know Signature Version 2. */
function readService(name: string, folder: string): Service | undefined {
  const { metadata, operations } = readJson(folder, 'service-2.json') as Model
  if (metadata.signatureVersion === 'v2') return undefined
  const prefixes = new Set([''])
  const constants = new Map<string, string[]>()
  for (const { endpoint, staticContextParams = {} } of Object.values(operations)) {
    if (endpoint?.hostPrefix !== undefined) prefixes.add(endpoint.hostPrefix)
    for (const [parameter, { value }] of Object.entries(staticContextParams)) {
      const values = constants.get(parameter) ?? []
      if (typeof value === 'string' && !values.includes(value)) constants.set(parameter, [...values, value])
    }
  }
  return {
    name,
    signingName: metadata.signingName ?? metadata.endpointPrefix,
    leaves: leavesOf(readJson(folder, 'endpoint-rule-set-1.json') as Rule),
    hostPrefixes: [...prefixes],
    constants,
  }
}

/** The newest API version of every service; older ones have the same endpoints. */
export function readServices(data: string): Service[] {
  const folders = readdirSync(data, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  return folders.flatMap(({ name }) => {
    const versions = readdirSync(path.join(data, name)).toSorted()
    const complete = versions.findLast((version) => {
      const files = readdirSync(path.join(data, name, version)).join(' ')
      return files.includes('service-2.json') && files.includes('endpoint-rule-set-1.json')
    })
    const service = complete === undefined ? undefined : readService(name, path.join(data, name, complete))
    return service ? [service] : []
  })
}

export function readPartitions(data: string): Partition[] {
  return (readJson(data, 'partitions.json') as { partitions: Partition[] }).partitions
}
