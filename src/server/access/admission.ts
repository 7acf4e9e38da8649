import { isDeepStrictEqual } from 'node:util'
import { Fault } from '#base/errors'
import {
  aggregationEscalation,
  bindingEscalation,
  forbiddenMessage,
  isAllowed,
  rbacGroup,
  roleEscalation,
  type AccessPolicy,
  type User,
} from '#model/access'
import {
  defaultNamespace,
  definitionOf,
  invalidResource,
  namesakesOf,
  subjectOf,
  type IdentityProvider,
  type JoinToken,
  type Resource,
  type Verifier,
} from '#model/resource'
import type { Admission, ResourceCache } from '#server/store'
import { policyView } from './policy-view.ts'

type Guarded = Extract<Resource, { kind: 'Role' | 'ClusterRole' | 'RoleBinding' | 'ClusterRoleBinding' }>

const isGuarded = (object: Resource): object is Guarded =>
  ['Role', 'ClusterRole', 'RoleBinding', 'ClusterRoleBinding'].includes(object.kind)

/**
 * Whether nothing changes but what keeps an object, and with what it goes: that gives nobody rights, and as in
 * Kubernetes whoever collects garbage need not have them.
 */
function isOnlyKeeping(object: Resource, previous: Resource): boolean {
  const rest = ({ metadata, ...content }: Resource) => {
    const { finalizers: _, ownerReferences: __, managedFields: ___, ...others } = metadata
    return { ...content, metadata: others }
  }
  return isDeepStrictEqual(rest(object), rest(previous))
}

function refuse(object: Resource, field: string, message: string): never {
  const subject = subjectOf(definitionOf(object.kind), object.metadata.name)
  throw invalidResource(subject, [{ reason: 'FieldValueForbidden', field, message: `Forbidden: ${message}` }])
}

/**
 * Refuses to let anyone give rights that he does not have himself (Kubernetes' privilege escalation prevention), a
 * binding whose role changes, providers whose users could pass for those of another, and to let daemons in for
 * others. What the server writes itself has no actor and is not judged.
 */
export function accessAdmission(cacheOf: () => Pick<ResourceCache, 'get' | 'list'>): Admission {
  return ({ operation, object, previous, actor }) => {
    if (operation === 'delete') return []
    if (operation === 'create' && actor) checkCreate(object, actor, policyView(cacheOf()))
    if (isGuarded(object) && !(previous && isOnlyKeeping(object, previous))) {
      // A binding says who may; with another role it would be another one, which only `create` may make.
      if ('roleRef' in object && previous && 'roleRef' in previous) {
        const { kind, name } = previous.roleRef
        // There is one group of roles, whether it is given or not.
        if (object.roleRef.kind !== kind || object.roleRef.name !== name)
          refuse(object, 'roleRef', 'cannot change roleRef')
      }
      const { name, namespace = '' } = object.metadata
      const gathers = [object, previous].some((role) => role?.kind === 'ClusterRole' && role.aggregationRule)
      const why =
        actor &&
        ((gathers ? aggregationEscalation(policyView(cacheOf()), actor) : undefined) ??
          ('roleRef' in object
            ? bindingEscalation(policyView(cacheOf()), actor, { namespace, roleRef: object.roleRef })
            : roleEscalation(policyView(cacheOf()), actor, { namespace, name, rules: object.rules ?? [] })))
      if (why !== undefined) {
        const message = `${definitionOf(object.kind).plural}.${rbacGroup} ${JSON.stringify(name)} is forbidden: ${why}`
        throw new Fault('API_FORBIDDEN', message, { publicText: message })
      }
    }
    // A status can be written whatever the specification is, and a finalizer be removed.
    if (object.metadata.generation === previous?.metadata.generation) return []
    if (object.kind === 'IdentityProvider' || object.kind === 'OIDCClient') {
      // SECURITY: who may write in some other namespace must not say who users are.
      if (object.metadata.namespace !== defaultNamespace) {
        refuse(object, 'metadata.namespace', `providers and their clients belong in ${defaultNamespace}`)
      }
    }
    // Their names and IDs are unique in the whole trust domain: one elsewhere would take those of another.
    if (object.kind === 'Daemon' && object.metadata.namespace !== defaultNamespace)
      refuse(object, 'metadata.namespace', `daemons belong in ${defaultNamespace}`)
    if (actor && (object.kind === 'JoinToken' || object.kind === 'Verifier'))
      checkLetsIn(object, actor, policyView(cacheOf()))
    if (object.kind === 'IdentityProvider')
      checkPrefixes(object, cacheOf().list('IdentityProvider', defaultNamespace))
    return []
  }
}

/**
 * SECURITY: server-side apply makes objects by `patch`; as in Kubernetes that takes the right to create them as well.
 */
function checkCreate(object: Resource, actor: User, policy: AccessPolicy): void {
  const { group, version, plural } = definitionOf(object.kind)
  const { name, namespace = '' } = object.metadata
  const request = { verb: 'create', group, version, resource: plural, subresource: '', namespace, name }
  const unnamed = { ...request, name: '' }
  if (isAllowed(policy, actor, request) || isAllowed(policy, actor, unnamed)) return
  const message = forbiddenMessage(actor, request)
  throw new Fault('API_FORBIDDEN', message, { publicText: message })
}

/**
 * SECURITY: who joins belongs to the groups that he is let into, and gets what any namespace scopes to these. So who
 * may let daemons in by the roles of one namespace, may do so only in that where all Daemons are.
 */
function checkLetsIn(object: JoinToken | Verifier, actor: User, policy: AccessPolicy): void {
  if (object.metadata.namespace === defaultNamespace) return
  const { group, version, plural } = definitionOf(object.kind)
  const place = { namespace: defaultNamespace, name: '' }
  const request = { verb: 'create', group, version, resource: plural, subresource: '', ...place }
  if (isAllowed(policy, actor, request)) return
  const message = `${forbiddenMessage(actor, request)}, which one elsewhere takes too: daemons join for all namespaces`
  throw new Fault('API_FORBIDDEN', message, { publicText: message })
}

/** Two that are written at the same moment pass: then the older one is acted on (`olderNamesakeOf`). */
function checkPrefixes(object: IdentityProvider, providers: readonly IdentityProvider[]): void {
  const [namesake] = namesakesOf(object, providers)
  if (namesake)
    refuse(object, object.spec.oidc ? `spec.oidc.${namesake.by}` : 'metadata.name', namesake.message)
}
