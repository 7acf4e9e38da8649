import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { Clock } from '#base/clock'
import { Fault, isFault } from '#base/errors'
import type { AccessPolicy, User } from '#model/access'
import { formatSeconds, formatTime } from '#model/resource'
import type { AuditTrail } from '#server/audit'
import type { Resources } from '#server/store'
import type { Access, Principal } from './ports.ts'
import { auditedActor } from './principal.ts'
import {
  accessStatus,
  invalid,
  readAccessReview,
  readRulesReview,
  readTokenRequest,
  readTokenReview,
  requestOf,
  rulesStatus,
} from './reviews.ts'
import { apiAudience, tokenLifetime, type ServiceAccountTokens } from './service-account-tokens.ts'

const authorization = 'authorization.k8s.io/v1'
const authentication = 'authentication.k8s.io/v1'

type PrincipalRequest = FastifyRequest & { readonly principal?: Principal | undefined }

const askerOf = (request: FastifyRequest): Principal => (request as PrincipalRequest).principal!

/** Questions about rights (`kubectl auth can-i`, `auth whoami`) and tokens of service accounts. */
export function accessRoutes({
  policy,
  access,
  resources,
  tokens,
  audit,
  clock,
}: {
  policy: AccessPolicy
  access: Pick<Access, 'authenticate'>
  resources: Pick<Resources, 'get'>
  tokens: ServiceAccountTokens
  audit: Pick<AuditTrail, 'change'>
  clock: Clock
}): FastifyPluginAsync {
  function answer(reply: FastifyReply, apiVersion: string, kind: string, rest: object) {
    return reply.code(201).send({ apiVersion, kind, metadata: { creationTimestamp: null }, ...rest })
  }

  /** Whose a token is, and for which of the audiences that somebody asks about; this API's unless he names any. */
  async function reviewToken(token: string, audiences: readonly string[] = []) {
    if (audiences.length === 0 || audiences.includes(apiAudience)) {
      const principal = await access.authenticate(`Bearer ${token}`)
      if (principal) return { principal, audiences: [apiAudience] }
    }
    try {
      return audiences.length > 0 ? await tokens.review(token, audiences) : undefined
    } catch (error) {
      // SECURITY: what is wrong with a token is nobody's business but ours.
      if (isFault(error, 'STORE_UNAVAILABLE')) throw error
      return undefined
    }
  }

  /** Somebody else, as a review names him. */
  function subjectOf({
    user = '',
    uid,
    groups = [],
  }: {
    user?: string
    uid?: string
    groups?: string[]
  }): User {
    if (user === '' && groups.length === 0) {
      throw invalid(
        'SubjectAccessReview',
        'spec.user',
        'Required value: at least one of user or group must be specified',
      )
    }
    return { name: user, groups, ...(uid !== undefined && { uid }) }
  }

  return async (app) => {
    const path = `/apis/${authorization}`

    app.post(`${path}/selfsubjectaccessreviews`, (request, reply) => {
      const { spec } = readAccessReview(request.body)
      const status = accessStatus(policy, askerOf(request), requestOf(spec))
      return answer(reply, authorization, 'SelfSubjectAccessReview', { spec, status })
    })

    app.post(`${path}/subjectaccessreviews`, (request, reply) => {
      const { spec } = readAccessReview(request.body)
      const status = accessStatus(policy, subjectOf(spec), requestOf(spec))
      return answer(reply, authorization, 'SubjectAccessReview', { spec, status })
    })

    app.post<{ Params: { namespace: string } }>(
      `${path}/namespaces/:namespace/localsubjectaccessreviews`,
      (request, reply) => {
        const { spec } = readAccessReview(request.body)
        // SECURITY: who may ask about one namespace learns nothing about others, nor about paths.
        if (spec.resourceAttributes?.namespace !== request.params.namespace) {
          throw invalid(
            'LocalSubjectAccessReview',
            'spec.resourceAttributes.namespace',
            'Invalid value: must match metadata.namespace',
          )
        }
        const status = accessStatus(policy, subjectOf(spec), requestOf(spec))
        return answer(reply, authorization, 'LocalSubjectAccessReview', { spec, status })
      },
    )

    app.post(`${path}/selfsubjectrulesreviews`, (request, reply) => {
      const { spec } = readRulesReview(request.body)
      if (!spec.namespace)
        throw invalid('SelfSubjectRulesReview', 'spec.namespace', 'Required value: no namespace on request')
      const status = rulesStatus(policy, askerOf(request), spec.namespace)
      return answer(reply, authorization, 'SelfSubjectRulesReview', { spec, status })
    })

    app.post(`/apis/${authentication}/selfsubjectreviews`, (request, reply) => {
      const { name: username, uid, groups } = askerOf(request)
      const userInfo = { username, ...(uid !== undefined && { uid }), groups }
      return answer(reply, authentication, 'SelfSubjectReview', { status: { userInfo } })
    })

    app.post(`/apis/${authentication}/tokenreviews`, async (request, reply) => {
      const { token, audiences } = readTokenReview(request.body).spec
      const known = await reviewToken(token, audiences)
      if (!known) {
        const status = { authenticated: false, error: 'the token is not accepted' }
        return answer(reply, authentication, 'TokenReview', { spec: {}, status })
      }
      const { name: username, uid, groups } = known.principal
      const user = { username, ...(uid !== undefined && { uid }), groups }
      const status = { authenticated: true, user, audiences: known.audiences }
      // SECURITY: the token is not given back: answers are kept in more places than requests.
      return answer(reply, authentication, 'TokenReview', { spec: {}, status })
    })

    app.post<{ Params: { namespace: string; name: string } }>(
      '/api/v1/namespaces/:namespace/serviceaccounts/:name/token',
      async (request, reply) => {
        const { namespace, name } = request.params
        const { spec = {} } = readTokenRequest(request.body)
        const account = await resources.get('ServiceAccount', namespace, name)
        if (!account || account.metadata.deletionTimestamp !== undefined) {
          const message = `serviceaccounts ${JSON.stringify(name)} not found`
          throw new Fault('RESOURCE_NOT_FOUND', message, { publicText: message })
        }
        const { defaultSeconds, minSeconds, maxSeconds } = tokenLifetime
        const { audiences = [], expirationSeconds: wanted = defaultSeconds, boundObjectRef } = spec
        if (boundObjectRef) {
          throw invalid(
            'TokenRequest',
            'spec.boundObjectRef',
            'Invalid value: tokens can be bound to their account only',
          )
        }
        if (wanted < minSeconds) {
          const message = `Invalid value: ${wanted}: may not specify a duration less than 10 minutes`
          throw invalid('TokenRequest', 'spec.expirationSeconds', message)
        }
        const granted = {
          audiences: audiences.length > 0 ? audiences : [apiAudience],
          expirationSeconds: Math.min(wanted, maxSeconds),
        }
        const { token, expiresAt } = await tokens.mint(account, granted)
        await audit.change({
          ...auditedActor(askerOf(request)),
          verb: 'create',
          object: `ServiceAccount/${name}/token`,
          namespace,
          outcome: 'ok',
          message: `for ${granted.audiences.join(', ')} until ${formatTime(expiresAt)}`,
        })
        if (wanted > maxSeconds) {
          const text = `requested expiration of ${wanted} seconds shortened to ${maxSeconds} seconds`
          void reply.header('warning', `299 - "${text}"`)
        }
        return reply.code(201).send({
          apiVersion: authentication,
          kind: 'TokenRequest',
          metadata: { name, namespace, creationTimestamp: formatTime(clock.now()) },
          spec: granted,
          status: { token, expirationTimestamp: formatSeconds(expiresAt) },
        })
      },
    )
  }
}
