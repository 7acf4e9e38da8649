import { randomUUID } from 'node:crypto'
import type { Clock, EpochMs } from '#base/clock'
import type { Log } from '#base/log'
import { headerValue, parseQuery, readClaim, splitTarget, type WireRequest } from '#emulator/sigv4'
import type { AccessLog } from './access-log.ts'
import { decide, type Account } from './account.ts'
import { accessDenied, authRefusal } from './auth-refusals.ts'
import { authenticate } from './authenticate.ts'
import { AwsError } from './aws-error.ts'
import { openBedrockAgentRuntime, openBedrockRuntime } from './bedrock.ts'
import type { Answer, Call, Operation, Permission, Service, ServiceName } from './call.ts'
import type { AccessKeys } from './credentials.ts'
import { openIam } from './iam.ts'
import { openOidcVerifier, type JsonFetcher } from './oidc.ts'
import type { Principal } from './principal.ts'
import { renderError } from './protocol.ts'
import { findRoute, type Route } from './route.ts'
import { openS3 } from './s3.ts'
import { openSsm } from './ssm.ts'
import { openSts, unsignedAction } from './sts.ts'

/** The emulated cloud: one account behind any number of host names. */
export interface Cloud {
  /** Answers one request; never rejects. */
  handle(request: WireRequest, body: Buffer): Promise<Answer>
}

/** What became known of a request on its way, for the access log. */
interface Trace {
  action: string
  accessKeyId?: string
  principal: Principal
}

export function openCloud(options: {
  account: Account
  keys: AccessKeys
  clock: Clock
  fetchJson: JsonFetcher
  accessLog: AccessLog
  log: Log
}): Cloud {
  const { account, keys, clock, accessLog, log } = options
  const services: Readonly<Record<ServiceName, Service>> = {
    sts: openSts({ account, keys, clock, oidc: openOidcVerifier(options) }),
    iam: openIam(account),
    s3: openS3(account.id),
    ssm: openSsm(account.id),
    'bedrock-runtime': openBedrockRuntime(),
    'bedrock-agent-runtime': openBedrockAgentRuntime(account.id),
  }

  async function serve(request: WireRequest, body: Buffer, route: Route, trace: Trace): Promise<Answer> {
    const at = clock.now()
    const service = services[route.service]
    const reading = readClaim(request)
    if (reading.kind === 'malformed') throw authRefusal(route.service, 'malformed', reading.reason)
    if (reading.kind === 'none') {
      const operation = service.plan(readCall(request, body, route, at))
      trace.action = operation.name
      if (route.service !== 'sts' || operation.name !== unsignedAction)
        throw authRefusal(route.service, 'missing')
      return operation.run(trace.principal)
    }
    trace.accessKeyId = reading.claim.accessKeyId
    const verified = await authenticate({ request, body, route, claim: reading.claim, keys, at })
    trace.principal = verified.key.principal
    const operation = service.plan(readCall(request, verified.body, route, at, verified.trailers))
    trace.action = operation.name
    authorize(route, trace.principal, operation)
    return operation.run(trace.principal)
  }

  function authorize(route: Route, caller: Principal, { permissions }: Operation): void {
    for (const permission of permissions) {
      const decision = decide(account, caller, permission, conditionContext(route, caller, permission))
      if (decision === 'allow') continue
      const { action, resource } = permission
      const who = caller.kind === 'anonymous' ? 'anonymous' : caller.arn
      const why =
        decision === 'explicit-deny'
          ? 'with an explicit deny in an identity-based policy'
          : `because no identity-based policy allows the ${action} action`
      throw accessDenied(
        route.service,
        `User: ${who} is not authorized to perform: ${action} on resource: ${resource} ${why}`,
      )
    }
  }

  function conditionContext(route: Route, caller: Principal, permission: Permission) {
    const context = new Map<string, readonly string[]>([
      ['aws:currenttime', [new Date(clock.now()).toISOString()]],
      ['aws:requestedregion', [route.region]],
      ['aws:securetransport', ['true']],
    ])
    if (caller.kind !== 'anonymous') {
      context.set('aws:principalarn', [caller.arn])
      context.set('aws:userid', [caller.userId])
      context.set('aws:principalaccount', [account.id])
    }
    for (const [key, value] of Object.entries(permission.context ?? {}))
      context.set(key.toLowerCase(), [value])
    return context
  }

  return {
    async handle(request, body) {
      const requestId = randomUUID()
      const trace: Trace = { action: 'unknown', principal: { kind: 'anonymous' } }
      let route: Route | undefined
      let answer: Answer
      let reason: string | undefined
      try {
        const reading = readClaim(request)
        route = findRoute(request, reading.kind === 'claim' ? reading.claim : undefined)
        answer = route ? await serve(request, body, route, trace) : noSuchHost
      } catch (error) {
        const refusal = toAwsError(error)
        if (refusal.status >= 500) log.error('emulator.failed', { error, action: trace.action })
        reason = `${refusal.code}: ${refusal.message}`
        answer = renderError(route?.service ?? 's3', refusal, requestId)
      }
      const { principal } = trace
      accessLog.record({
        at: new Date(clock.now()).toISOString(),
        service: route?.service ?? 'none',
        action: trace.action,
        host: headerValue(request, 'host') ?? '',
        path: splitTarget(request.target).path,
        status: answer.status,
        ...(principal.kind === 'anonymous' ? {} : { principal: principal.arn }),
        ...(principal.kind === 'assumed-role' ? { sessionName: principal.sessionName } : {}),
        ...(trace.accessKeyId === undefined ? {} : { accessKeyId: trace.accessKeyId }),
        ...(reason === undefined ? {} : { reason }),
      })
      return request.method === 'HEAD' ? { status: answer.status, headers: answer.headers ?? {} } : answer
    },
  }
}

const noSuchHost: Answer = {
  status: 421,
  headers: { 'content-type': 'text/plain' },
  body: 'the emulator has no service for this host\n',
}

function readCall(
  request: WireRequest,
  body: Buffer,
  route: Route,
  at: EpochMs,
  trailers: Call['trailers'] = new Map(),
): Call {
  const { method } = request
  const { path, query } = splitTarget(request.target)
  const encoded = path.slice(1).split('/')
  const segments = [...(route.bucket === undefined ? [] : [route.bucket]), ...encoded.map(decodeURIComponent)]
  const headers = new Map(request.headers.map(([name]) => [name, headerValue(request, name) ?? '']))
  return { method, segments, query: parseQuery(query), headers, trailers, body, region: route.region, at }
}

function toAwsError(error: unknown): AwsError {
  if (error instanceof AwsError) return error
  if (error instanceof URIError) return new AwsError(400, 'InvalidURI', "Couldn't parse the specified URI.")
  return new AwsError(500, 'InternalError', 'We encountered an internal error. Please try again.')
}
