import type { ResourceRequest, User } from './attributes.ts'
import { authenticatedGroup } from './policy.ts'
import { serviceAccountGroups, serviceAccountOf } from './service-account.ts'

/** Whom a request is to be made as: Kubernetes' `Impersonate-*` headers (`kubectl --as`). */
export interface Impersonation {
  readonly user: string
  readonly groups: readonly string[]
  readonly uid?: string
}

type Headers = Readonly<Record<string, readonly string[] | undefined>>

const prefix = 'impersonate-'
const known = new Set(['impersonate-user', 'impersonate-group', 'impersonate-uid'])

// Node reads headers as Latin-1, clients write names as UTF-8.
const textOf = (value: string) => Buffer.from(value, 'latin1').toString()

/** Reads the headers of a request, each with all its values; undefined when they ask for nothing of the kind. */
export function impersonationOf(headers: Headers): Impersonation | { refused: string } | undefined {
  const names = Object.keys(headers).filter((name) => name.startsWith(prefix))
  if (names.length === 0) return undefined
  // SECURITY: an extra may narrow what somebody may do: without it he would be able to do more.
  const other = names.find((name) => !known.has(name))
  if (other !== undefined) return { refused: `${other}: users have no such attribute here` }
  const of = (name: string) => (headers[name] ?? []).map(textOf)
  const [users, uids] = [of('impersonate-user'), of('impersonate-uid')]
  if (users.length !== 1 || users[0] === '') return { refused: 'Impersonate-User must be given, and once' }
  if (uids.length > 1) return { refused: 'Impersonate-Uid is given more than once' }
  const [uid] = uids
  return {
    user: users[0]!,
    groups: of('impersonate-group'),
    ...(uid !== undefined && { uid }),
  }
}

/** What somebody must be allowed who makes requests as another, in the words of Kubernetes' rules. */
export function impersonationRequests({ user, groups, uid }: Impersonation): readonly ResourceRequest[] {
  const request = (
    resource: string,
    name: string,
    { group = '', namespace = '' }: { group?: string; namespace?: string } = {},
  ): ResourceRequest => ({
    verb: 'impersonate',
    group,
    version: 'v1',
    resource,
    subresource: '',
    namespace,
    name,
  })
  const account = serviceAccountOf(user)
  return [
    account
      ? request('serviceaccounts', account.name, { namespace: account.namespace })
      : request('users', user),
    ...groups.map((name) => request('groups', name)),
    ...(uid === undefined ? [] : [request('uids', uid, { group: 'authentication.k8s.io' })]),
  ]
}

/** Who a request is made as: a service account has the groups of one unless others are named. */
export function impersonated({ user, groups, uid }: Impersonation): User {
  const account = serviceAccountOf(user)
  const own = groups.length === 0 && account ? serviceAccountGroups(account.namespace) : groups
  return {
    name: user,
    groups: [...new Set([...own, authenticatedGroup])],
    ...(uid !== undefined && { uid }),
  }
}
