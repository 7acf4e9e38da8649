import { Fault, isFault } from '#base/errors'
import type { AuditRecord } from '#model/audit'
import {
  defaultNamespace,
  definitionOf,
  type Kind,
  type Resource,
  type ResourceDraft,
  type ResourceOf,
} from '#model/resource'
import { readLines } from './lines.ts'
import { isStatus, statusFault } from './status-fault.ts'

export interface WatchEvent<K extends Kind = Kind> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'
  readonly object: ResourceOf<K>
}

/** One signing key, as `tideway keys` shows it. Times are milliseconds since the epoch. */
export interface IssuerKey {
  readonly kid: string
  /** `workload tokens` or `service account tokens`. */
  readonly signs: string
  readonly state: 'published' | 'active' | 'retiring'
  readonly createdAt: number
  readonly since: number
  readonly removeAt?: number
}

/** The credential that a binding has after a rotation, by its public id, and why there is no new one. */
export interface RotatedCredential {
  readonly id?: string
  /** RFC 3339. */
  readonly expiresAt?: string
  readonly failure?: { readonly reason: string; readonly message: string }
}

export interface Place {
  /** The client's namespace unless given. */
  readonly namespace?: string | undefined
  readonly signal?: AbortSignal | undefined
}

export interface WriteOptions {
  readonly dryRun?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

/** kubectl's word for what an apply did. */
export type Verdict = 'created' | 'configured' | 'unchanged'

/**
 * The resource API. Every method throws the fault that the server's `Status` stands for (RESOURCE_INVALID with
 * its field errors, RESOURCE_NOT_FOUND, RESOURCE_CONFLICT, API_UNAUTHENTICATED, ...), or SERVER_UNREACHABLE.
 */
export interface ResourceClient {
  get<K extends Kind>(kind: K, name: string, place?: Place): Promise<ResourceOf<K>>
  /** Of one namespace, or with `allNamespaces` of all. */
  list<K extends Kind>(
    kind: K,
    place?: Place & { allNamespaces?: boolean | undefined },
  ): Promise<{ items: ResourceOf<K>[]; resourceVersion: string }>
  create<R extends ResourceDraft>(draft: R, options?: WriteOptions): Promise<ResourceOf<R['kind']>>
  /** Replaces all but the status; with a resourceVersion only when that is the present one. */
  update<R extends ResourceDraft>(draft: R, options?: WriteOptions): Promise<ResourceOf<R['kind']>>
  /**
   * Creates the object, or makes it say what the draft says. Labels and annotations that the draft does not name
   * are kept.
   */
  apply<R extends ResourceDraft>(
    draft: R,
    options?: WriteOptions,
  ): Promise<{ verdict: Verdict; object: ResourceOf<R['kind']> }>
  delete(kind: Kind, name: string, options?: Place & WriteOptions): Promise<void>
  /**
   * Changes after `resourceVersion`, or what there is and then changes; ends on abort or when the server closes.
   * @throws Fault STORE_REVISION_GONE: list anew
   */
  watch<K extends Kind>(
    kind: K,
    options: Place & {
      allNamespaces?: boolean | undefined
      name?: string | undefined
      resourceVersion?: string | undefined
      signal: AbortSignal
    },
  ): AsyncIterable<WatchEvent<K>>
  /** Waits until `holds` is true of the object (undefined: there is none); rejects on abort. */
  waitFor<K extends Kind>(
    kind: K,
    name: string,
    holds: (object: ResourceOf<K> | undefined) => boolean,
    options: Place & { signal: AbortSignal },
  ): Promise<ResourceOf<K> | undefined>
  /** The newest `limit` audit records, then, with `follow`, those that come. */
  audit(options: { limit?: number; follow?: boolean; signal: AbortSignal }): AsyncIterable<AuditRecord>
  /** Replaces the credential of a CredentialBinding now; when the cloud refuses, the old one goes on. */
  rotateCredential(bindingName: string, place?: Place): Promise<RotatedCredential>
  keys(): Promise<readonly IssuerKey[]>
  rotateKeys(): Promise<readonly IssuerKey[]>
  /** The bytes of a backup of everything that the server keeps. */
  backup(options: { signal: AbortSignal }): Promise<ReadableStream<Uint8Array>>
}

export interface ResourceClientOptions {
  /** Base URL of the server, without path. */
  readonly url: string
  /** Bearer token, asked for before each request. */
  readonly token: () => string | Promise<string>
  /** The global `fetch`, or one that trusts the server's own CA. */
  readonly fetch: (url: string, init?: RequestInit) => Promise<Response>
  readonly namespace?: string | undefined
  /** Is told the server's warnings about a write. */
  readonly onWarning?: ((warning: string) => void) | undefined
}

interface Call {
  readonly method?: string
  readonly query?: Readonly<Record<string, string | undefined>>
  readonly body?: unknown
  readonly signal?: AbortSignal | undefined
}

/** The text of a `Warning` header value such as `299 - "text"`. */
function warningTexts(header: string | null): string[] {
  return [...(header ?? '').matchAll(/299 - "((?:[^"\\]|\\.)*)"/g)].map(([, text]) =>
    text!.replaceAll(/\\(.)/g, '$1'),
  )
}

export function openResourceClient(options: ResourceClientOptions): ResourceClient {
  const base = options.url.replace(/\/+$/, '')
  const ownNamespace = options.namespace ?? defaultNamespace

  function pathOf(kind: Kind, namespace: string | undefined, name?: string): string {
    const { group, version, plural, scope } = definitionOf(kind)
    const root = group === '' ? `/api/${version}` : `/apis/${group}/${version}`
    const place =
      namespace === undefined || scope === 'Cluster' ? '' : `/namespaces/${encodeURIComponent(namespace)}`
    return `${root}${place}/${plural}${name === undefined ? '' : `/${encodeURIComponent(name)}`}`
  }

  async function open(path: string, { method = 'GET', query = {}, body, signal }: Call): Promise<Response> {
    const given = Object.entries(query).filter((pair): pair is [string, string] => pair[1] !== undefined)
    const search = given.length === 0 ? '' : `?${new URLSearchParams(given).toString()}`
    // Outside of the `try`: why there is none is for whoever gives it to say.
    const token = await options.token()
    let response: Response
    try {
      response = await options.fetch(base + path + search, {
        method,
        headers: {
          accept: 'application/json',
          authorization: `Bearer ${token}`,
          ...(body !== undefined && { 'content-type': 'application/json' }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        ...(signal && { signal }),
      })
    } catch (error) {
      if (isFault(error)) throw error
      if (signal?.aborted) throw signal.reason
      throw new Fault('SERVER_UNREACHABLE', `${base}: ${(error as Error).message}`, { cause: error })
    }
    for (const warning of warningTexts(response.headers.get('warning'))) options.onWarning?.(warning)
    if (!response.ok) throw await failureOf(response)
    return response
  }

  async function call(path: string, request: Call): Promise<unknown> {
    const response = await open(path, request)
    try {
      return await response.json()
    } catch (error) {
      throw new Fault('SERVER_UNREACHABLE', `${base} did not answer as a Tideway server does`, {
        cause: error,
      })
    }
  }

  async function* stream(path: string, request: Call): AsyncGenerator {
    const { signal } = request
    try {
      const { body } = await open(path, request)
      for await (const value of readLines(body!)) {
        if (isStatus(value)) throw statusFault(value)
        yield value
      }
    } catch (error) {
      if (signal?.aborted) return
      if (isFault(error)) throw error
      throw new Fault('SERVER_UNREACHABLE', `${base}: ${(error as Error).message}`, { cause: error })
    }
  }

  const namespaceOf = ({ namespace }: Place): string => namespace ?? ownNamespace

  function write(method: 'POST' | 'PUT', draft: ResourceDraft, { dryRun, signal }: WriteOptions) {
    const { name, namespace = ownNamespace } = draft.metadata
    const path = pathOf(draft.kind, namespace, method === 'PUT' ? name : undefined)
    return call(path, { method, body: draft, query: { dryRun: dryRun ? 'All' : undefined }, signal })
  }

  const untyped = {
    get(kind: Kind, name: string, place: Place = {}) {
      return call(pathOf(kind, namespaceOf(place), name), { signal: place.signal })
    },
    async list(kind: Kind, place: Place & { allNamespaces?: boolean } = {}) {
      const path = pathOf(kind, place.allNamespaces ? undefined : namespaceOf(place))
      const listed = (await call(path, { signal: place.signal })) as {
        items: Resource[]
        metadata: { resourceVersion: string }
      }
      return { items: listed.items, resourceVersion: listed.metadata.resourceVersion }
    },
    create: (draft: ResourceDraft, options: WriteOptions = {}) => write('POST', draft, options),
    update: (draft: ResourceDraft, options: WriteOptions = {}) => write('PUT', draft, options),
    async apply(draft: ResourceDraft, options: WriteOptions = {}) {
      const { name, namespace } = draft.metadata
      const place = { namespace, signal: options.signal }
      for (;;) {
        const before = (await orUndefined(untyped.get(draft.kind, name, place))) as Resource | undefined
        const written = before
          ? await orUndefined(write('PUT', keepingMarks(draft, before), options))
          : await orUndefined(write('POST', draft, options), 'RESOURCE_EXISTS')
        // Created or deleted by somebody else in between: look again.
        if (written === undefined) continue
        const object = written as Resource
        if (!before) return { verdict: 'created', object }
        return { verdict: sameSpecification(before, object) ? 'unchanged' : 'configured', object }
      }
    },
    async delete(kind: Kind, name: string, options: Place & WriteOptions = {}) {
      const query = { dryRun: options.dryRun ? 'All' : undefined }
      await call(pathOf(kind, namespaceOf(options), name), {
        method: 'DELETE',
        query,
        signal: options.signal,
      })
    },
    async *watch(kind: Kind, options: Parameters<ResourceClient['watch']>[1]) {
      const { allNamespaces, name, resourceVersion, signal } = options
      const path = pathOf(kind, allNamespaces ? undefined : namespaceOf(options))
      const fieldSelector = name === undefined ? undefined : `metadata.name=${name}`
      for await (const event of stream(path, {
        query: { watch: 'true', fieldSelector, resourceVersion },
        signal,
      })) {
        const { type, object } = event as { type: string; object: unknown }
        if (isStatus(object)) throw statusFault(object)
        if (type !== 'BOOKMARK') yield event as WatchEvent
      }
    },
    async waitFor(
      kind: Kind,
      name: string,
      holds: (object: Resource | undefined) => boolean,
      options: Place & { signal: AbortSignal },
    ) {
      for (;;) {
        options.signal.throwIfAborted()
        const { items, resourceVersion } = await untyped.list(kind, options)
        const present = items.find(({ metadata }) => metadata.name === name)
        if (holds(present)) return present
        try {
          for await (const { type, object } of untyped.watch(kind, { ...options, name, resourceVersion })) {
            const current = type === 'DELETED' ? undefined : object
            if (holds(current)) return current
          }
        } catch (error) {
          if (!isFault(error, 'STORE_REVISION_GONE')) throw error
        }
      }
    },
    audit({ limit, follow, signal }: Parameters<ResourceClient['audit']>[0]) {
      return stream('/audit', {
        query: { limit: limit?.toString(), follow: follow ? 'true' : undefined },
        signal,
      })
    },
    rotateCredential(bindingName: string, place: Place = {}) {
      const path = `${pathOf('CredentialBinding', namespaceOf(place), bindingName)}/rotate`
      return call(path, { method: 'POST', signal: place.signal })
    },
    async keys() {
      return ((await call('/keys', {})) as { keys: IssuerKey[] }).keys
    },
    async rotateKeys() {
      return ((await call('/keys/rotate', { method: 'POST' })) as { keys: IssuerKey[] }).keys
    },
    backup: async ({ signal }: { signal: AbortSignal }) => (await open('/backup', { signal })).body!,
  }
  // One untyped implementation serves every kind: the server answers with objects of the kind asked for.
  return untyped as unknown as ResourceClient
}

async function failureOf(response: Response): Promise<Fault> {
  const body: unknown = await response.json().catch(() => undefined)
  if (isStatus(body)) return statusFault(body)
  return new Fault(
    'SERVER_UNREACHABLE',
    `${new URL(response.url || 'about:blank').host} answered ${response.status}`,
  )
}

/** The result, or undefined for a fault of `code`. */
async function orUndefined<T>(
  result: Promise<T>,
  code: 'RESOURCE_NOT_FOUND' | 'RESOURCE_EXISTS' = 'RESOURCE_NOT_FOUND',
): Promise<T | undefined> {
  try {
    return await result
  } catch (error) {
    if (isFault(error, code)) return undefined
    throw error
  }
}

function keepingMarks(draft: ResourceDraft, { metadata }: Resource): ResourceDraft {
  const labels = { ...metadata.labels, ...draft.metadata.labels }
  const annotations = { ...metadata.annotations, ...draft.metadata.annotations }
  return { ...draft, metadata: { ...draft.metadata, labels, annotations } }
}

/** Not by resourceVersion: a controller may have written the status in between. */
function sameSpecification({ metadata: a }: Resource, { metadata: b }: Resource): boolean {
  const marks = ({ labels = {}, annotations = {} }: Resource['metadata']) =>
    JSON.stringify(
      [labels, annotations].map((map) => Object.entries(map).sort(([x], [y]) => (x < y ? -1 : 1))),
    )
  return a.uid === b.uid && a.generation === b.generation && marks(a) === marks(b)
}
