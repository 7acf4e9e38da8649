import type { Clock } from '#base/clock'
import { cannotListen, Fault, isFault } from '#base/errors'
import type { Readiness } from '#base/lifecycle'
import type { Log } from '#base/log'
import type { Impersonation } from '#model/access'
import { kindAt } from '#model/resource'
import type { Access, Hold, Principal } from '#server/access'
import type { AuditTrail } from '#server/audit'
import type { KeyRotation } from '#server/issuer'
import type { Resources, Review } from '#server/store'
import { fastify, type FastifyPluginAsync, type FastifyReply, type FastifyRequest } from 'fastify'
import type { AddressInfo } from 'node:net'
import { authorize } from './authorization.ts'
import { answerBeforeClosing } from './closing.ts'
import { boundConnections, connectionTimes, endStalled, probes } from './connections.ts'
import { discoveryRoutes } from './discovery.ts'
import { actingAs } from './impersonation.ts'
import { healthRoutes } from './health-routes.ts'
import { boundInFlight } from './in-flight.ts'
import { expectShallow } from './nesting.ts'
import { openapiRoutes } from './openapi-routes.ts'
import { bodyParsers, yamlBodies } from './bodies.ts'
import { protobufBodies } from './protobuf-body.ts'
import { readRoutes } from './read-routes.ts'
import { recordRefusedWrites } from './refused-writes.ts'
import { failure, sendStatus, statusOf } from './status.ts'
import { systemRoutes } from './system-routes.ts'
import { writeRoutes } from './write-routes.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Served to anyone. Everything else needs a bearer token, and a right. */
    public?: boolean
  }
  interface FastifyRequest {
    /** Who asks; undefined on public routes only. */
    principal: Principal | undefined
    /** As whom he wants to ask. */
    impersonation: Impersonation | undefined
    /** Keeps up what was allowed, for answers that go on; undefined on public routes only. */
    hold: (() => Hold) | undefined
    /** What a write changes, once nothing stands against it. */
    review: Review | undefined
    /** The trail has what became of it. */
    isRecorded: boolean
    /** Paths of what its body has more than once; undefined where that is no JSON. */
    duplicateFields: readonly string[] | undefined
  }
}

export interface TlsKeyPair {
  /** PEM, leaf first. */
  readonly cert: string
  /** PEM. */
  readonly key: string
}

export interface Api extends AsyncDisposable {
  /** Where it listens: the address asked for, and the port it got. */
  readonly address: { readonly host: string; readonly port: number }
  /** Uses another certificate for the connections to come. */
  setCertificate(pair: TlsKeyPair): void
}

export interface ApiOptions {
  readonly listen: { readonly host: string; readonly port: number }
  readonly tls: TlsKeyPair
  readonly resources: Resources
  readonly access: Access
  readonly audit: AuditTrail
  readonly issuer: KeyRotation
  readonly readiness: Pick<Readiness, 'obstacles'>
  readonly clock: Clock
  readonly log: Log
  readonly version: string
  /** How long an answer may wait for its reader; half a minute unless given. */
  readonly stalledMs?: number
  /** Further routes; those with `config.public` are served to anyone. */
  readonly plugins?: readonly FastifyPluginAsync[]
}

// The bound of Kubernetes' API servers for what is written in one request.
const bodyLimit = 1.5 * 1024 * 1024

const securityHeaders = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'strict-transport-security': 'max-age=31536000',
  'x-content-type-options': 'nosniff',
}

/** Opens the HTTPS server of the control plane. @throws Fault SETTING_INVALID when it cannot listen or use the key */
export async function openApi(options: ApiOptions): Promise<Api> {
  const { access, audit, log, tls, listen, plugins = [] } = options
  const stop = new AbortController()
  const app = fastify({
    https: { ...tls, ...connectionTimes, ...probes, minVersion: 'TLSv1.2' },
    bodyLimit,
    requestTimeout: 60_000,
    keepAliveTimeout: 75_000,
    forceCloseConnections: true,
    // What still comes on a connection that was just made is answered like any other.
    return503OnClosing: false,
    routerOptions: { maxParamLength: 253 },
    // SECURITY: the framework's own answer quotes the request to whoever sent it.
    frameworkErrors: (error, _request, reply) => {
      void sendStatus((reply as FastifyReply).headers(securityHeaders), statusOf(error))
    },
  })

  app.decorateRequest('principal', undefined)
  app.decorateRequest('impersonation', undefined)
  app.decorateRequest('hold', undefined)
  app.decorateRequest('review', undefined)
  app.decorateRequest('isRecorded', false)
  app.decorateRequest('duplicateFields', undefined)
  app.addHook('onRequest', async (request, reply) => {
    reply.headers(securityHeaders)
    // SECURITY: everything is closed unless its route says otherwise, paths that do not exist included, so that
    // nobody learns which objects or routes there are.
    if (request.routeOptions.config?.public === true && !request.is404) return
    const bearer = await access.authenticate(request.headers.authorization)
    if (!bearer) throw new Fault('API_UNAUTHENTICATED', 'unknown bearer token')
    request.principal = bearer
    request.principal = await actingAs(request, bearer, options)
    authorize(request, options)
  })
  recordRefusedWrites(app, audit)
  boundConnections(app)
  endStalled(app, options)
  boundInFlight(app, { bodyLimit })
  answerBeforeClosing(app)
  app.addHook('onResponse', async (request, reply) => {
    log.debug('api.request', {
      method: request.method,
      route: request.routeOptions.url,
      principal: request.principal?.name,
      status: reply.statusCode,
      durationMs: Math.round(reply.elapsedTime),
    })
  })
  app.setErrorHandler((error, request, reply) => {
    const status = statusOf(error, detailsOf(request, error))
    if (status.code >= 500)
      log.error('api.failed', { method: request.method, route: request.routeOptions.url, error })
    if (status.code === 401) void reply.header('www-authenticate', 'Bearer realm="tideway"')
    return sendStatus(reply, status)
  })
  app.setNotFoundHandler((_request, reply) =>
    reply.code(404).send(failure(404, 'NotFound', 'the server could not find the requested resource')),
  )
  // Kubernetes' names for JSON; anything else is 415.
  app.removeContentTypeParser('text/plain')
  protobufBodies(app)
  yamlBodies(app)
  app.addHook('preValidation', async ({ body }) => expectShallow(body))

  healthRoutes(app, options.readiness)
  for (const plugin of plugins) await app.register(plugin)
  await app.register(async (scope) => {
    bodyParsers(scope)
    discoveryRoutes(scope, options)
    openapiRoutes(scope, options)
    readRoutes(scope, { ...options, signal: stop.signal })
    writeRoutes(scope, options)
    systemRoutes(scope, { ...options, signal: stop.signal })
  })

  try {
    await app.listen(listen)
  } catch (error) {
    await app.close()
    throw cannotListen('the API', `${listen.host}:${listen.port}`, error)
  }
  const { port } = app.server.address() as AddressInfo
  log.info('api.listening', { host: listen.host, port })
  return {
    address: { host: listen.host, port },
    setCertificate(pair) {
      app.server.setSecureContext({ ...pair, minVersion: 'TLSv1.2' })
    },
    async [Symbol.asyncDispose]() {
      stop.abort()
      await app.close()
    },
  }
}

/** What a failure was about, as far as path and body say. An object that is not valid goes by its kind, as in Kubernetes. */
function detailsOf(request: FastifyRequest, error: unknown) {
  if (!request.principal) return {}
  const params = (request.params ?? {}) as Partial<Record<string, string>>
  const { group, version = 'v1', plural } = params
  const { metadata } = (request.body ?? {}) as { metadata?: { name?: unknown } | null }
  const named = params['name'] ?? metadata?.name
  const definition = plural === undefined ? undefined : kindAt(group ?? '', version, plural)
  const kind = isFault(error, 'RESOURCE_INVALID') ? (definition?.kind ?? plural) : plural
  return {
    ...(kind !== undefined && { kind }),
    ...(typeof named === 'string' && { name: named }),
    ...(group !== undefined && { group }),
  }
}
