import {
  ambiguousNames,
  fixedRegions,
  hostRegions,
  regionFirst,
  regionSets,
  signingNames,
  suffixes,
} from './endpoint-table.ts'
import type { SigningScope } from './signer.ts'

interface Zone {
  /** With its dot. */
  readonly suffix: string
  /** Signing region of names without one. */
  readonly home: string
}

/** `iam.us-gov.amazonaws.com` ends in two suffixes, and belongs to the longer. */
const zones: readonly Zone[] = [...suffixes]
  .map(([suffix, home]) => ({ suffix: `.${suffix}`, home }))
  .toSorted((a, b) => b.suffix.length - a.suffix.length)

const region = /^[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}$/

/**
 * Signing names that AWS documents, and that its SDKs have no rules for:
 * https://docs.aws.amazon.com/appsync/latest/devguide/security-authz.html,
 * https://docs.aws.amazon.com/prometheus/latest/userguide/AMP-onboard-ingest-metrics.html,
 * https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html,
 * https://docs.aws.amazon.com/neptune/latest/userguide/iam-auth-connecting.html,
 * https://docs.aws.amazon.com/general/latest/gr/sqs-service.html ("legacy endpoints"),
 * https://docs.aws.amazon.com/transcribe/latest/dg/streaming-setting-up.html.
 */
const documentedNames: ReadonlyMap<string, string> = new Map([
  ['appsync-api', 'appsync'],
  ['aps-workspaces', 'aps'],
  ['lambda-url', 'lambda'],
  ['neptune', 'neptune-db'],
  ['queue', 'sqs'],
  ['transcribestreaming', 'transcribe'],
])

/** https://docs.aws.amazon.com/general/latest/gr/global_accelerator.html */
const documentedRegions: ReadonlyMap<string, string> = new Map([
  ['globalaccelerator.amazonaws.com', 'us-west-2'],
])

/**
 * Services whose region stands before them: `search-x.eu-west-1.es.amazonaws.com`. Others that do so are no HTTP
 * services of AWS but customers' machines: `elb`, `compute`, `rds`, `cache`, `redshift`.
 */
const regionBefore = new Set(['aoss', 'cloudsearch', 'es', 'neptune', 'queue', ...regionFirst.keys()])

/** Labels under which customers host: load balancers, websites. */
const customers = new Set(['elb', 's3-website'])

/** What of `on.aws`, where customers' resources have their names, authenticates by signature. */
const signedResources = new Set(['aos', 'aoss', 'lambda-url', 'neptune-graph', 'osm', 'vpc-lattice-svcs'])

/**
 * The signing scope that the name of an AWS endpoint implies (its port is ignored). Undefined where the name does
 * not tell, also for names under which customers host: load balancers, EC2 hosts, websites, endpoint services. With
 * `regionSet` where the endpoint takes Signature Version 4A alone; its `region` is then the partition's first.
 *
 * What SDKs know comes from a generated table; the grammar of names that customers choose is here:
 * https://docs.aws.amazon.com/general/latest/gr/rande.html
 */
export function deriveSigningScope(host: string): SigningScope | undefined {
  const name = host.replace(/:[0-9]*$/, '').toLowerCase()
  if (name.endsWith('.on.aws')) return resource(name.slice(0, -'.on.aws'.length).split('.'))
  const zone = zones.find(({ suffix }) => name.endsWith(suffix))
  if (zone === undefined) return ownDomain(name)
  const labels = name.slice(0, -zone.suffix.length).split('.')
  if (labels.includes('')) return undefined
  return regional(labels) ?? global(labels, zone)
}

/** Domains that are of no partition, and have the region alone before them: `us-east-1.signin.aws.amazon.com`. */
function ownDomain(name: string): SigningScope | undefined {
  const [first = '', ...rest] = name.split('.')
  const service = rest.length > 1 ? regionFirst.get(rest.join('.')) : undefined
  return service !== undefined && /^[a-z]+(?:-[a-z0-9]+)+$/.test(first)
    ? { service, region: first }
    : undefined
}

function resource(labels: readonly string[]): SigningScope | undefined {
  return signedResources.has(labels.at(-2) ?? '') ? regional(labels) : undefined
}

function regional(labels: readonly string[]): SigningScope | undefined {
  const rest = withoutVpcEndpoint(labels)
  const last = rest.at(-1)
  if (last === undefined) return undefined
  if (region.test(last)) return scopeOf(rest.slice(0, -1), last)
  const before = rest.at(-2)
  if (before !== undefined && regionBefore.has(last) && region.test(before)) return scopeOf([last], before)
  // Older S3 names join both by a dash: `bucket.s3-eu-west-1.amazonaws.com`.
  const joined = /^s3-(?:fips-)?(.+)$/.exec(last)?.[1]
  return joined !== undefined && region.test(joined) ? { service: 's3', region: joined } : undefined
}

/**
 * `vpce-ID.service.region.vpce` and `bucket.vpce-ID.s3.region.vpce` read like the names without `vpce`, but for
 * customers' own services, `vpce-ID.vpce-svc-ID.region.vpce`
 * (https://docs.aws.amazon.com/vpc/latest/privatelink/privatelink-access-aws-services.html).
 */
function withoutVpcEndpoint(labels: readonly string[]): readonly string[] {
  if (labels.at(-1) !== 'vpce') return labels
  return labels.some((label) => label.startsWith('vpce-svc-')) ? [] : labels.slice(0, -1)
}

function scopeOf(labels: readonly string[], signingRegion: string): SigningScope | undefined {
  const named = withoutVariants(labels)
  const service = signingNameOf(named)
  return service === undefined
    ? undefined
    : { service, region: fixedRegions.get(named.join('.')) ?? signingRegion }
}

const variants = new Set(['dualstack', 'fips', 'global'])

/** `s3-fips.dualstack`, `fips.batch`, `runtime-fips.lex` and `route53.global` are other ways to the same services. */
function withoutVariants(labels: readonly string[]): string[] {
  const named = labels.filter((label) => !variants.has(label))
  return named.map((label) => label.replace(/-fips$/, ''))
}

function signingNameOf(labels: readonly string[]): string | undefined {
  const last = labels.at(-1)
  if (last === undefined || customers.has(last)) return undefined
  for (let from = 0; from < labels.length; from += 1) {
    const end = labels.slice(from).join('.')
    if (ambiguousNames.has(end)) return undefined
    const listed = signingNames.get(end)
    if (listed !== undefined) return listed
  }
  return documentedNames.get(last) ?? accountOwnName(labels) ?? last
}

/** Names that carry an account's or a zone's own label where the SDKs know a fixed one. */
function accountOwnName(labels: readonly string[]): string | undefined {
  const last = labels.at(-1)!
  // https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-express-Regions-and-Zones.html
  if (last.startsWith('s3express-')) return 's3express'
  // `PREFIX-ats.iot.region`: https://docs.aws.amazon.com/iot/latest/developerguide/iot-connect-devices.html
  if (last !== 'iot' || labels.length === 1) return undefined
  return labels.at(-2) === 'jobs' ? 'iot-jobs-data' : 'iotdata'
}

/** Names without a region: `service.amazonaws.com`, buckets of the first region, and those that SigV4A is for. */
function global(labels: readonly string[], { suffix, home }: Zone): SigningScope | undefined {
  const named = withoutVariants(labels)
  const last = named.at(-1)
  if (last === undefined || last === 's3-accelerate') return undefined
  // Buckets without a region: https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
  if (last === 's3' || last === 's3-external-1') {
    return { service: 's3', region: suffix.endsWith('.cn') ? 'cn-north-1' : home }
  }
  const ends = named.map((_, from) => named.slice(from).join('.'))
  const many = ends.find((end) => regionSets.has(end))
  if (many === undefined && (named.length > 1 || region.test(last))) return undefined
  const service = signingNameOf(named)
  if (service === undefined) return undefined
  const host = last + suffix
  const scope = { service, region: hostRegions.get(host) ?? documentedRegions.get(host) ?? home }
  return many === undefined ? scope : { ...scope, regionSet: regionSets.get(many)! }
}
