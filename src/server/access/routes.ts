import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { TSchema } from 'typebox'
import type { Clock } from '#base/clock'
import { Fault, isFault } from '#base/errors'
import type { AccessPolicy, User } from '#model/access'
import { formatSeconds, formatTime } from '#model/resource'
import type { AuditTrail } from '#server/audit'
import type { Resources } from '#server/store'
import type { Access, Principal } from './ports.ts'
import { auditedActor } from './principal.ts'
import {
  localSubjectAccessReview,
  selfSubjectAccessReview,
  selfSubjectReview,
  selfSubjectRulesReview,
  subjectAccessReview,
  tokenRequest,
  tokenReview,
  type Question,
} from './questions.ts'
import { accessStatus, invalid, requestOf, rulesStatus, specOf } from './reviews.ts'
import { apiAudience, tokenLifetime, type ServiceAccountTokens } from './service-account-tokens.ts'

type PrincipalRequest = FastifyRequest & { readonly principal?: Principal | undefined }

interface Written {
  Querystring: { readonly fieldValidation?: unknown }
}
interface WrittenIn extends Written {
  Params: { readonly namespace: string; readonly name: string }
}

const pathOf = ({ apiVersion, scope, plural }: Question) =>
  `/apis/${apiVersion}/${scope === 'Namespaced' ? 'namespaces/:namespace/' : ''}${plural}`

const askerOf = (request: FastifyRequest): Principal => (request as PrincipalRequest).principal!

function specFrom<S extends TSchema>(
  { body, query }: FastifyRequest<Written>,
  question: Question & { readonly schema: S },
) {
  return specOf(question, body, { strict: query.fieldValidation === 'Strict' })
}

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
  function answer(reply: FastifyReply, { apiVersion, kind }: Question, rest: object) {
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
  function subjectOf(
    { kind }: Question,
    { user = '', uid, groups = [] }: { user?: string; uid?: string; groups?: string[] },
  ): User {
    if (user === '' && groups.length === 0)
      throw invalid(kind, 'spec.user', 'Required value: at least one of user or group must be specified')
    return { name: user, groups, ...(uid !== undefined && { uid }) }
  }

  return async (app) => {
    app.post<Written>(pathOf(selfSubjectAccessReview), (request, reply) => {
      const spec = specFrom(request, selfSubjectAccessReview)
      const status = accessStatus(policy, askerOf(request), requestOf(selfSubjectAccessReview, spec))
      return answer(reply, selfSubjectAccessReview, { spec, status })
    })

    app.post<Written>(pathOf(subjectAccessReview), (request, reply) => {
      const spec = specFrom(request, subjectAccessReview)
      const subject = subjectOf(subjectAccessReview, spec)
      const status = accessStatus(policy, subject, requestOf(subjectAccessReview, spec))
      return answer(reply, subjectAccessReview, { spec, status })
    })

    app.post<WrittenIn>(pathOf(localSubjectAccessReview), (request, reply) => {
      const spec = specFrom(request, localSubjectAccessReview)
      // SECURITY: who may ask about one namespace learns nothing about others, nor about paths.
      if (spec.resourceAttributes?.namespace !== request.params.namespace) {
        throw invalid(
          localSubjectAccessReview.kind,
          'spec.resourceAttributes.namespace',
          'Invalid value: must match metadata.namespace',
        )
      }
      const subject = subjectOf(localSubjectAccessReview, spec)
      const status = accessStatus(policy, subject, requestOf(localSubjectAccessReview, spec))
      return answer(reply, localSubjectAccessReview, { spec, status })
    })

    app.post<Written>(pathOf(selfSubjectRulesReview), (request, reply) => {
      const spec = specFrom(request, selfSubjectRulesReview)
      const { kind } = selfSubjectRulesReview
      if (!spec.namespace) throw invalid(kind, 'spec.namespace', 'Required value: no namespace on request')
      const status = rulesStatus(policy, askerOf(request), spec.namespace)
      return answer(reply, selfSubjectRulesReview, { spec, status })
    })

    app.post(pathOf(selfSubjectReview), (request, reply) => {
      const { name: username, uid, groups } = askerOf(request)
      const userInfo = { username, ...(uid !== undefined && { uid }), groups }
      return answer(reply, selfSubjectReview, { status: { userInfo } })
    })

    app.post<Written>(pathOf(tokenReview), async (request, reply) => {
      const { token, audiences } = specFrom(request, tokenReview)
      const known = await reviewToken(token, audiences)
      // SECURITY: the token is not given back: answers are kept in more places than requests. Clients that hold an
      // answer against its schema find one that is empty.
      const spec = { token: '' }
      if (!known) {
        const status = { authenticated: false, error: 'the token is not accepted' }
        return answer(reply, tokenReview, { spec, status })
      }
      const { name: username, uid, groups } = known.principal
      const user = { username, ...(uid !== undefined && { uid }), groups }
      const status = { authenticated: true, user, audiences: known.audiences }
      return answer(reply, tokenReview, { spec, status })
    })

    app.post<WrittenIn>(
      '/api/v1/namespaces/:namespace/serviceaccounts/:name/token',
      async (request, reply) => {
        const { namespace, name } = request.params
        const spec = specFrom(request, tokenRequest)
        const account = await resources.get('ServiceAccount', namespace, name)
        if (!account || account.metadata.deletionTimestamp !== undefined) {
          const message = `serviceaccounts ${JSON.stringify(name)} not found`
          throw new Fault('RESOURCE_NOT_FOUND', message, { publicText: message })
        }
        const { defaultSeconds, minSeconds, maxSeconds } = tokenLifetime
        const { audiences = [], expirationSeconds: wanted = defaultSeconds, boundObjectRef } = spec
        if (boundObjectRef) {
          throw invalid(
            tokenRequest.kind,
            'spec.boundObjectRef',
            'Invalid value: tokens can be bound to their account only',
          )
        }
        if (wanted < minSeconds) {
          const message = `Invalid value: ${wanted}: may not specify a duration less than 10 minutes`
          throw invalid(tokenRequest.kind, 'spec.expirationSeconds', message)
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
          apiVersion: tokenRequest.apiVersion,
          kind: tokenRequest.kind,
          metadata: { name, namespace, creationTimestamp: formatTime(clock.now()) },
          spec: granted,
          status: { token, expirationTimestamp: formatSeconds(expiresAt) },
        })
      },
    )
  }
}
