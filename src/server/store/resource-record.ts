import { createHash } from 'node:crypto'
import { Fault } from '#base/errors'
import { Secret } from '#base/secret'
import {
  definitionOf,
  inOneLine,
  type Draft,
  type IdentityProvider,
  type Kind,
  type Resource,
  type ResourceDraft,
} from '#model/resource'
import type { Store, StoreEntry, StoreKey } from './ports.ts'

/** Seals bytes under a name that is needed to open them again (`#server/keys`). */
export interface Sealer {
  seal(name: string, plaintext: Uint8Array): Uint8Array
  /** @throws Fault STORE_CORRUPT, SEALING_KEY_WRONG */
  unseal(name: string, sealed: Uint8Array): Uint8Array
}

/** What an object holds but never gives back (security rule 23). */
export interface Hidden {
  /** SHA-256 of a join token, in hex. */
  readonly tokenHash?: string
  /** Values of a Secret, sealed: base64 of the sealed JSON of a map of base64 texts. */
  readonly sealedData?: string
}

/** A stored object: its `metadata.resourceVersion` is the entry's revision and is not in the bytes. */
export interface ResourceRecord {
  readonly object: Resource
  readonly hidden: Hidden
  /** Revision to compare with when it is replaced. */
  readonly modRevision: number
}

export const registryPrefix = '/registry/'

// Not among all objects: nobody needs what comes and goes this often in memory.
const eventPrefix = '/events/'

/** What the keys of a kind's objects, or of those in one namespace, start with. */
export function kindPrefix(kind: Kind, namespace?: string): StoreKey {
  const { group, plural, scope } = definitionOf(kind)
  if (kind === 'Event') return `${eventPrefix}${namespace === undefined ? '' : `${namespace}/`}`
  const place = namespace === undefined || scope === 'Cluster' ? '' : `${namespace}/`
  return `${registryPrefix}${group || 'core'}/${plural}/${place}`
}

export function resourceKey(kind: Kind, namespace: string, name: string): StoreKey {
  return kindPrefix(kind, namespace) + name
}

export function encodeRecord(object: Resource, hidden: Hidden): Uint8Array {
  const { resourceVersion: _, ...metadata } = object.metadata
  return Buffer.from(JSON.stringify({ object: { ...object, metadata }, hidden }))
}

/** `revision` replaces the entry's own, for an object that is seen as it was deleted. @throws Fault STORE_CORRUPT */
export function decodeRecord(entry: StoreEntry, revision = entry.modRevision): ResourceRecord {
  try {
    const { object, hidden } = JSON.parse(Buffer.from(entry.value).toString()) as Omit<
      ResourceRecord,
      'modRevision'
    >
    const metadata = { ...object.metadata, resourceVersion: String(revision) }
    return { object: { ...object, metadata } as Resource, hidden, modRevision: entry.modRevision }
  } catch (error) {
    throw new Fault('STORE_CORRUPT', `the record ${entry.key} cannot be read`, { cause: error })
  }
}

/** What is stored of an object. @throws Fault STORE_CORRUPT */
export async function loadRecord(
  store: Pick<Store, 'get'>,
  kind: Kind,
  namespace: string,
  name: string,
): Promise<ResourceRecord | undefined> {
  const entry = await store.get(resourceKey(kind, namespace, name))
  return entry && decodeRecord(entry)
}

export function hashToken(token: Secret): string {
  return createHash('sha256').update(token.reveal()).digest('hex')
}

const sealName = (uid: string) => `resource/${uid}`

/** The values of a Secret, keyed by name. */
export function openData(sealer: Sealer, uid: string, { sealedData }: Hidden): Record<string, string> {
  if (sealedData === undefined) return {}
  const plaintext = sealer.unseal(sealName(uid), Buffer.from(sealedData, 'base64'))
  return JSON.parse(Buffer.from(plaintext).toString()) as Record<string, string>
}

/**
 * Takes what is write-only out of a draft: the draft without it, and what to hide in its place. A write-only
 * field that the draft leaves out keeps its value; one that says the same leaves `hidden` as it was.
 */
export function conceal(
  draft: ResourceDraft,
  uid: string,
  before: Hidden,
  sealer: Sealer,
): { draft: ResourceDraft; hidden: Hidden } {
  if (draft.kind === 'JoinToken') {
    const { token, ...spec } = draft.spec
    const tokenHash = token === undefined ? before.tokenHash : hashToken(Secret.of(token))
    const hidden = tokenHash === before.tokenHash ? before : { tokenHash: tokenHash! }
    return { draft: withSecretsBlanked({ ...draft, spec }), hidden }
  }
  if (draft.kind === 'Secret') {
    // As Kubernetes has it, for those who look at the type.
    const { data, stringData, ...rest } = { ...draft, type: draft.type ?? 'Opaque' }
    const concealed = withNamesApplied(rest)
    if (data === undefined && stringData === undefined) return { draft: concealed, hidden: before }
    const known = openData(sealer, uid, before)
    const next = { ...(data ? {} : known), ...plainData({ data, stringData }) }
    if (before.sealedData !== undefined && sameData(known, next)) return { draft: concealed, hidden: before }
    const sealed = sealer.seal(sealName(uid), Buffer.from(JSON.stringify(next)))
    return { draft: concealed, hidden: { sealedData: Buffer.from(sealed).toString('base64') } }
  }
  if (draft.kind === 'IdentityProvider') {
    return { draft: withSecretsBlanked(withoutClientSecret(draft)), hidden: before }
  }
  return { draft, hidden: before }
}

/** The values that a Secret is given, in base64 and as text, as they are kept. */
export function plainData({
  data = {},
  stringData = {},
}: {
  data?: Readonly<Record<string, string>> | undefined
  stringData?: Readonly<Record<string, string>> | undefined
}): Record<string, string> {
  const texts = Object.entries(stringData).map(([key, text]) => [key, Buffer.from(text).toString('base64')])
  return { ...inOneLine(data), ...(Object.fromEntries(texts) as Record<string, string>) }
}

/** The server never acts as a confidential client, so that it has no use for the secret of one. */
function withoutClientSecret(draft: Draft<IdentityProvider>): Draft<IdentityProvider> {
  const spec = Object.fromEntries(
    Object.entries(draft.spec).map(([method, value]) => {
      if (typeof value !== 'object' || !('clientSecret' in value)) return [method, value]
      const { clientSecret: _, ...rest } = value
      return [method, rest]
    }),
  )
  return { ...draft, spec: spec as typeof draft.spec }
}

function sameData(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key])
}

const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration'

// SECURITY: client-side apply copies the whole manifest, secrets included, into this annotation (rule 23).
const secretFields = new Set(['token', 'clientSecret'])

/** Leaves what was applied, by which kubectl tells what is to be removed, with nothing for a secret. */
function withSecretsBlanked<D extends ResourceDraft>(draft: D): D {
  const text = draft.metadata.annotations?.[lastApplied]
  if (text === undefined) return draft
  let applied: Readonly<Record<string, unknown>>
  try {
    applied = JSON.parse(text, (key, value: unknown) => (secretFields.has(key) ? '' : value)) ?? {}
  } catch {
    return withoutLastApplied(draft)
  }
  const { apiVersion, kind, metadata, spec } = applied
  const blanked = JSON.stringify({ apiVersion, kind, metadata, spec })
  const annotations = { ...draft.metadata.annotations, [lastApplied]: blanked }
  return { ...draft, metadata: { ...draft.metadata, annotations } }
}

function withoutLastApplied<D extends ResourceDraft>(draft: D): D {
  const { [lastApplied]: _, ...annotations } = draft.metadata.annotations ?? {}
  return { ...draft, metadata: { ...draft.metadata, annotations } }
}

/** As `withoutLastApplied`, but names of values stay, by which kubectl tells that one is to be removed. */
function withNamesApplied<D extends ResourceDraft>(draft: D): D {
  const names = namesApplied(draft.metadata.annotations?.[lastApplied])
  if (names === undefined) return withoutLastApplied(draft)
  const annotations = { ...draft.metadata.annotations, [lastApplied]: names }
  return { ...draft, metadata: { ...draft.metadata, annotations } }
}

function namesApplied(text: string | undefined): string | undefined {
  try {
    const { apiVersion, kind, metadata, data, stringData } = JSON.parse(text ?? 'null') as Record<
      string,
      unknown
    >
    const { name, namespace, labels } = (metadata ?? {}) as Record<string, unknown>
    const namesOf = (map: unknown) => map && Object.fromEntries(Object.keys(map).map((key) => [key, '']))
    return JSON.stringify({
      apiVersion,
      kind,
      metadata: { name, namespace, labels },
      data: namesOf(data),
      stringData: namesOf(stringData),
    })
  } catch {
    return undefined
  }
}
