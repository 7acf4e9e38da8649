/** Who asks, as authentication found out. */
export interface User {
  /** Such as `system:admin`, `system:serviceaccount:NAMESPACE:NAME` or `corp:ada@example.org`. */
  readonly name: string
  readonly uid?: string
  readonly groups: readonly string[]
}

/** A request about objects of a kind. */
export interface ResourceRequest {
  readonly verb: string
  /** '' for the core group of Kubernetes. */
  readonly group: string
  readonly version: string
  /** Plural. */
  readonly resource: string
  /** '' for the objects themselves. */
  readonly subresource: string
  /** '' for all namespaces, and for kinds without one. */
  readonly namespace: string
  /** '' where no single object is meant. */
  readonly name: string
}

/** A request about anything else: the verb is the HTTP method in lower case. */
export interface PathRequest {
  readonly verb: string
  readonly path: string
}

export type AccessRequest = ResourceRequest | PathRequest

export const isPathRequest = (request: AccessRequest): request is PathRequest => 'path' in request

const verbs: Readonly<Record<string, string>> = {
  POST: 'create',
  GET: 'get',
  HEAD: 'get',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
}

/** What a request asks for, beyond its path. */
export interface RequestLine {
  readonly method: string
  /** The path between its slashes, decoded: the very segments by which it is served. */
  readonly segments: readonly string[]
  readonly query: Readonly<Record<string, unknown>>
}

/** Whether a parameter says yes: whatever its value, but for `0` and `false` (apimachinery, Convert_Slice_string_To_bool). */
export function saysYes(value: unknown): boolean {
  return value !== undefined && value !== '0' && !(typeof value === 'string' && /^false$/i.test(value))
}

/** The one name that a field selector narrows a list to. */
function selectedName(selector: unknown): string {
  if (typeof selector !== 'string') return ''
  const terms = selector.split(',').map((term) => /^metadata\.name==?([^=!,]+)$/.exec(term)?.[1])
  return terms.find((name) => name !== undefined) ?? ''
}

/** Reads a request as Kubernetes' API servers do (RequestInfoFactory.NewRequestInfo). */
export function accessRequest({ method, segments, query }: RequestLine): AccessRequest {
  const grouped = segments[0] === 'apis'
  const [group, version, rest] = grouped
    ? [segments[1] ?? '', segments[2] ?? '', segments.slice(3)]
    : ['', segments[1] ?? '', segments.slice(2)]
  if ((!grouped && segments[0] !== 'api') || rest.length === 0 || rest[0] === '') {
    return { verb: method.toLowerCase(), path: `/${segments.join('/')}` }
  }
  const place = placeOf(rest)
  let verb = verbs[method] ?? method.toLowerCase()
  let { name } = place
  if (name === '' && (verb === 'get' || verb === 'delete')) {
    if (verb === 'delete') verb = 'deletecollection'
    else verb = saysYes(query['watch']) ? 'watch' : 'list'
    name = selectedName(query['fieldSelector'])
  }
  return { verb, group, version, ...place, name }
}

function placeOf(parts: readonly string[]) {
  const [first = '', second = '', third = '', fourth = '', fifth = ''] = parts
  if (first !== 'namespaces' || second === '') {
    return { namespace: '', resource: first, name: second, subresource: third }
  }
  // A namespace itself: it counts as lying in itself.
  if (parts.length === 2 || third === 'status' || third === 'finalize') {
    return { namespace: second, resource: 'namespaces', name: second, subresource: third }
  }
  return { namespace: second, resource: third, name: fourth, subresource: fifth }
}

const quote = (text: string) => JSON.stringify(text)

/** `secrets`, or `serviceaccounts/token`, as rules name it. */
export function resourceName({ resource, subresource }: ResourceRequest): string {
  return subresource === '' ? resource : `${resource}/${subresource}`
}

/** Kubernetes' words for a request that is refused. */
export function forbiddenMessage(user: User, request: AccessRequest): string {
  const who = `User ${quote(user.name)} cannot ${request.verb}`
  if (isPathRequest(request)) return `forbidden: ${who} path ${quote(request.path)}`
  const { group, resource, namespace, name } = request
  const subject = (group === '' ? resource : `${resource}.${group}`) + (name === '' ? '' : ` ${quote(name)}`)
  const place = namespace === '' ? 'at the cluster scope' : `in the namespace ${quote(namespace)}`
  const what = `resource ${quote(resourceName(request))} in API group ${quote(group)} ${place}`
  return `${subject} is forbidden: ${who} ${what}`
}
