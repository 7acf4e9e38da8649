import { headerValue, parseQuery, splitTarget, type SignatureClaim, type WireRequest } from '#emulator/sigv4'
import type { ServiceName } from './call.ts'

/** Which service a request is for. */
export interface Route {
  readonly service: ServiceName
  /** The region that the credential scope must name. */
  readonly region: string
  /** S3 in virtual-hosted style. */
  readonly bucket?: string
}

const globalRegion = 'us-east-1'

const hosts: readonly (readonly [RegExp, (match: RegExpExecArray) => Route])[] = [
  [
    /^sts(?:\.([a-z0-9-]+))?\.amazonaws\.com$/,
    ([, region]) => ({ service: 'sts', region: region ?? globalRegion }),
  ],
  [/^iam\.amazonaws\.com$/, () => ({ service: 'iam', region: globalRegion })],
  [/^ssm\.([a-z0-9-]+)\.amazonaws\.com$/, ([, region = '']) => ({ service: 'ssm', region })],
  [
    /^(bedrock-runtime|bedrock-agent-runtime)\.([a-z0-9-]+)\.amazonaws\.com$/,
    ([, service, region = '']) => ({ service: service as ServiceName, region }),
  ],
  [
    /^(?:(.+)\.)?s3(?:\.([a-z0-9-]+))?\.amazonaws\.com$/,
    ([, bucket, region]) => ({
      service: 's3',
      region: region ?? globalRegion,
      ...(bucket === undefined ? {} : { bucket }),
    }),
  ],
]

/**
 * Finds the service: by the name of an AWS host, and at any other name (the emulator's own address, for SDKs with
 * an endpoint override) by the credential scope or, unsigned, by what the request looks like.
 * Undefined for a host of AWS that is not emulated.
 */
export function findRoute(request: WireRequest, claim: SignatureClaim | undefined): Route | undefined {
  const host = (headerValue(request, 'host') ?? '').replace(/:\d+$/, '').toLowerCase()
  for (const [pattern, route] of hosts) {
    const match = pattern.exec(host)
    if (match) return route(match)
  }
  if (host.endsWith('.amazonaws.com')) return undefined
  const service = claim ? serviceOfScope(claim.scope.service, request) : serviceOfShape(request)
  const bucket = service === 's3' ? /^(.+)\.localhost$/.exec(host)?.[1] : undefined
  return (
    service && {
      service,
      region: claim?.algorithm === 'AWS4-HMAC-SHA256' ? claim.scope.region : globalRegion,
      ...(bucket === undefined ? {} : { bucket }),
    }
  )
}

/** The name that a service has in a credential scope. */
export function signingName(service: ServiceName): string {
  return service.startsWith('bedrock-') ? 'bedrock' : service
}

function serviceOfScope(name: string, request: WireRequest): ServiceName | undefined {
  if (name === 'bedrock') return bedrockServiceOf(request)
  const known: readonly ServiceName[] = ['sts', 'iam', 's3', 'ssm']
  return known.find((service) => service === name)
}

function serviceOfShape(request: WireRequest): ServiceName {
  const { path, query } = splitTarget(request.target)
  if (headerValue(request, 'x-amz-target')?.startsWith('AmazonSSM.')) return 'ssm'
  if (path.startsWith('/agents/') || path.startsWith('/model/')) return bedrockServiceOf(request)
  const isForm =
    headerValue(request, 'content-type')?.startsWith('application/x-www-form-urlencoded') ?? false
  return path === '/' && (isForm || parseQuery(query).has('Action')) ? 'sts' : 's3'
}

function bedrockServiceOf(request: WireRequest): ServiceName {
  return request.target.startsWith('/agents/') ? 'bedrock-agent-runtime' : 'bedrock-runtime'
}
