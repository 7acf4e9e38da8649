import { Fault } from '#base/errors'
import { definitionOf, invalidResource, type Kind, type Resource, type ResourceDraft } from '#model/resource'

function resourceName(kind: Kind): string {
  const { group, plural } = definitionOf(kind)
  return group === '' ? plural : `${plural}.${group}`
}

export function notFound(kind: Kind, name: string): Fault {
  const message = `${resourceName(kind)} ${JSON.stringify(name)} not found`
  return new Fault('RESOURCE_NOT_FOUND', message, { publicText: message })
}

export function conflict(kind: Kind, name: string, detail: string): Fault {
  const message = `Operation cannot be fulfilled on ${resourceName(kind)} ${JSON.stringify(name)}: ${detail}`
  return new Fault('RESOURCE_CONFLICT', message, { publicText: message })
}

/** `present`: what is there, when that is known. */
export function alreadyExists(kind: Kind, name: string, present?: Resource): Fault {
  const going = present?.metadata.deletionTimestamp === undefined ? '' : 'object is being deleted: '
  const message = `${going}${resourceName(kind)} ${JSON.stringify(name)} already exists`
  return new Fault('RESOURCE_EXISTS', message, { publicText: message })
}

export const modified =
  'the object has been modified; please apply your changes to the latest version and try again'

/** @throws Fault RESOURCE_INVALID when it is not a revision of ours */
export function parseRevision(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw invalidResource('resourceVersion', [
    { reason: 'FieldValueInvalid', field: 'resourceVersion', message: 'Invalid value: not a revision' },
  ])
}

export function namespaceTerminating(kind: Kind, name: string, namespace: string): Fault {
  const message =
    `${resourceName(kind)} ${JSON.stringify(name)} is forbidden: ` +
    `unable to create new content in namespace ${namespace} because it is being terminated`
  const detail = `namespace ${namespace} is being terminated`
  // Controllers go by it: this is no lack of rights, and there is nothing to wait for.
  const cause = [{ reason: 'NamespaceTerminating', message: detail, field: 'metadata.namespace' }]
  return new Fault('API_FORBIDDEN', message, { publicText: message, cause })
}

/** Why a write was refused, of one field, as Kubernetes' `StatusCause`. */
export interface RefusalCause {
  readonly reason: string
  readonly field: string
  readonly message: string
}

/** The causes of a refusal of the store besides those of invalid fields: conflicts of appliers, and others. */
export function causesOf(fault: Fault): readonly RefusalCause[] {
  const isOurs = fault.code === 'RESOURCE_CONFLICT' || fault.code === 'API_FORBIDDEN'
  return isOurs && Array.isArray(fault.cause) ? (fault.cause as readonly RefusalCause[]) : []
}

/** The draft as a stored object: metadata that the server owns is `owned`, the status is that of `before`. */
export function complete(
  { metadata, ...draft }: ResourceDraft,
  owned: Pick<
    Resource['metadata'],
    | 'uid'
    | 'namespace'
    | 'generation'
    | 'creationTimestamp'
    | 'resourceVersion'
    | 'deletionTimestamp'
    | 'deletionGracePeriodSeconds'
  >,
  before?: Resource,
): Resource {
  const { uid, namespace, generation, creationTimestamp, resourceVersion } = owned
  const { deletionTimestamp, deletionGracePeriodSeconds } = owned
  const { name, generateName, labels, annotations, finalizers, ownerReferences } = metadata
  const { apiVersion, kind, status: _, ...content } = { status: undefined, ...draft }
  return {
    apiVersion,
    kind,
    metadata: {
      name,
      ...(generateName !== undefined && { generateName }),
      ...(namespace !== undefined && { namespace }),
      uid,
      resourceVersion,
      generation,
      creationTimestamp,
      ...(deletionTimestamp !== undefined && { deletionTimestamp }),
      ...(deletionGracePeriodSeconds !== undefined && { deletionGracePeriodSeconds }),
      ...(notEmpty(labels) && { labels }),
      ...(notEmpty(annotations) && { annotations }),
      ...(finalizers?.length && { finalizers }),
      ...(ownerReferences?.length && { ownerReferences }),
    },
    ...content,
    ...(before && 'status' in before && { status: before.status }),
  } as unknown as Resource
}

function notEmpty(map: object | undefined): boolean {
  return map !== undefined && Object.keys(map).length > 0
}

/** What `generation` counts the changes of: everything but metadata and status. */
export function contentOf(object: Resource): object {
  const { metadata: _, ...rest } = object
  const { status: __, ...content } = { status: undefined, ...rest }
  return content
}

// A name may be a label, of 63 characters, of which five are random (apimachinery, storage/names/generate.go).
const maxPrefixLength = 58

export function withGeneratedName(
  draft: ResourceDraft,
  random: (bytes: number) => Uint8Array,
): ResourceDraft {
  const { metadata } = draft
  if (typeof metadata?.generateName !== 'string' || metadata.name !== undefined) return draft
  // No vowels and no look-alikes: 27 symbols, as Kubernetes has them.
  const alphabet = 'bcdfghjklmnpqrstvwxz2456789'
  const suffix = [...random(5)].map((byte) => alphabet[byte % alphabet.length]).join('')
  const prefix = metadata.generateName.slice(0, maxPrefixLength)
  return { ...draft, metadata: { ...metadata, name: prefix + suffix } }
}

/** UUID version 4 (RFC 9562 section 5.4) from 16 random bytes. */
export function formatUuid(bytes: Uint8Array): string {
  const copy = Buffer.from(bytes)
  copy[6] = (copy[6]! & 0x0f) | 0x40
  copy[8] = (copy[8]! & 0x3f) | 0x80
  return copy.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}
