import type { SigningScope } from './sigv4.ts'

/** Suffixes of the partitions, the longer before those that they end with. */
const suffixes = [
  '.amazonaws.com.cn',
  '.amazonaws.com',
  '.amazonaws.eu',
  '.api.amazonwebservices.com.cn',
  '.api.aws',
  '.on.aws',
] as const

const region = /^[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}$/

/** Signing names that differ from the label which stands next to the region. */
const signingNames: ReadonlyMap<string, string> = new Map([
  ['appsync-api', 'appsync'],
  ['bedrock-agentcore-control', 'bedrock-agentcore'],
  ['bedrock-agentcore', 'bedrock-agentcore'],
  ['ddb', 'dynamodb'],
  ['email', 'ses'],
  ['lambda-url', 'lambda'],
  ['marketplace', 'aws-marketplace'],
  ['neptune', 'neptune-db'],
  ['oidc', 'sso-oauth'],
  ['queue', 'sqs'],
  ['s3-accesspoint', 's3'],
  ['s3-control', 's3'],
  ['s3-external-1', 's3'],
  ['s3express-control', 's3express'],
  ['transcribestreaming', 'transcribe'],
])

/** Endpoints of one service that sign under another name than the rest of it. */
const signingNamesByPair: ReadonlyMap<string, string> = new Map([
  ['data.iot', 'iotdata'],
  ['data-ats.iot', 'iotdata'],
  ['participant.connect', 'execute-api'],
  ['portal.sso', 'awsssoportal'],
])

/** Services whose region stands in front of them: `search-x.eu-west-1.es.amazonaws.com`. */
const regionFirst = new Set(['aoss', 'es', 'neptune', 'queue'])

const globalRegions: ReadonlyMap<string, string> = new Map([
  ['globalaccelerator', 'us-west-2'],
  ['networkmanager', 'us-west-2'],
])

const chinaRegions: ReadonlyMap<string, string> = new Map([['route53', 'cn-northwest-1']])

/**
 * The signing scope that the name of an AWS endpoint implies (its port is ignored), for the common ones. Undefined
 * where the name does not tell, also for names under which customers host: load balancers, EC2 hosts, websites.
 */
export function deriveSigningScope(host: string): SigningScope | undefined {
  const name = host.replace(/:[0-9]*$/, '').toLowerCase()
  const suffix = suffixes.find((candidate) => name.endsWith(candidate))
  if (suffix === undefined) return undefined
  const labels = name.slice(0, -suffix.length).split('.')
  if (labels.includes('')) return undefined
  if (suffix === '.on.aws' && labels.at(-2) !== 'lambda-url') return undefined
  return regional(labels) ?? global(labels, suffix)
}

function regional(labels: readonly string[]): SigningScope | undefined {
  const rest = withoutVpcEndpoint(labels)
  const last = rest.at(-1)!
  if (region.test(last)) return scopeOf(rest.slice(0, -1), last)
  const before = rest.at(-2)
  if (before !== undefined && regionFirst.has(last) && region.test(before)) return scopeOf([last], before)
  // Older S3 names join both by a dash: `bucket.s3-eu-west-1.amazonaws.com`.
  const joined = /^s3-(?:fips-)?(.+)$/.exec(last)?.[1]
  return joined !== undefined && region.test(joined) ? { service: 's3', region: joined } : undefined
}

/** `vpce-ID.service.region.vpce` and `bucket.vpce-ID.s3.region.vpce` read like the names without `vpce`. */
function withoutVpcEndpoint(labels: readonly string[]): readonly string[] {
  return labels.at(-1) === 'vpce' && labels.length > 1 ? labels.slice(0, -1) : labels
}

function scopeOf(labels: readonly string[], signingRegion: string): SigningScope | undefined {
  const named = labels.filter((label) => label !== 'dualstack' && label !== 'fips')
  const label = named.at(-1)?.replace(/-fips$/, '')
  if (label === undefined || label === 's3-website' || label === 'elb') return undefined
  const pair = `${named.at(-2)}.${label}`
  return { service: signingNamesByPair.get(pair) ?? signingName(label), region: signingRegion }
}

function signingName(label: string): string {
  const listed = signingNames.get(label)
  if (listed !== undefined) return listed
  if (label.startsWith('s3express-')) return 's3express'
  return label.startsWith('bedrock-') ? 'bedrock' : label
}

/** Names without a region: `service.amazonaws.com`, and buckets of the partition's first region. */
function global(labels: readonly string[], suffix: string): SigningScope | undefined {
  if (!suffix.startsWith('.amazonaws.')) return undefined
  const china = suffix.endsWith('.cn')
  const last = labels.at(-1)!.replace(/-fips$/, '')
  if (last === 's3' || last === 's3-external-1') {
    return { service: 's3', region: china ? 'cn-north-1' : 'us-east-1' }
  }
  if (labels.length === 2 && last === 'us-gov') {
    return { service: signingName(labels[0]!), region: 'us-gov-west-1' }
  }
  if (labels.length > 1 || region.test(last)) return undefined
  const partitionRegion = china ? 'cn-north-1' : 'us-east-1'
  const regions = china ? chinaRegions : globalRegions
  return { service: signingName(last), region: regions.get(last) ?? partitionRegion }
}
