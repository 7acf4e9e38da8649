import { Type, type Static } from 'typebox'
import { at, forbidden, invalid, malformed, required, type FieldError } from './field-error.ts'
import { atomic, closed, dateTime, flag, list, stringMap, text } from './schema.ts'

export const defaultNamespace = 'riptides-system'

const ownerReference = atomic(
  closed(
    {
      apiVersion: text('API group and version of the owner.'),
      kind: text('Kind of the owner.'),
      name: text('Name of the owner.'),
      uid: text('uid of the owner.'),
      controller: Type.Optional(flag('Whether this owner is the controller of the object.')),
      blockOwnerDeletion: Type.Optional(
        flag('Whether an owner that is deleted in the foreground waits for this object to go.'),
      ),
    },
    'A reference to an owner in the same namespace, or to one that lies in none.',
  ),
)

export type OwnerReference = Static<typeof ownerReference>

export const objectMeta = closed(
  {
    name: Type.Optional(text('Name, unique among the objects of its kind in the namespace.')),
    generateName: Type.Optional(text('Prefix from which the server makes a name when none is given.')),
    namespace: Type.Optional(text(`Namespace; ${defaultNamespace} unless given.`)),
    uid: Type.Optional(text('Unique over the life of the server; set by it.')),
    resourceVersion: Type.Optional(
      text('Opaque version for optimistic concurrency and watches; set by the server.'),
    ),
    generation: Type.Optional(
      Type.Integer({ description: 'Grows with every change of the specification; set by the server.' }),
    ),
    creationTimestamp: Type.Optional(dateTime('When the object was created; set by the server.')),
    deletionTimestamp: Type.Optional(dateTime('When deletion was asked for; set by the server.')),
    deletionGracePeriodSeconds: Type.Optional(Type.Integer({ description: 'Set by the server; always 0.' })),
    labels: Type.Optional(stringMap('Labels for selecting objects.')),
    annotations: Type.Optional(
      Type.Record(Type.String(), Type.String({ description: 'The value of one key.' }), {
        description: 'Free annotations, of 256 KiB together.',
      }),
    ),
    finalizers: Type.Optional(
      list(
        text('Name of a finalizer.'),
        'What must be done before the object goes; each removes its own name.',
        {
          merge: 'set',
        },
      ),
    ),
    ownerReferences: Type.Optional(
      list(ownerReference, 'Owners: when the last of them is deleted, so is this object.', {
        merge: ['uid'],
      }),
    ),
    managedFields: Type.Optional(
      list(
        Type.Unknown({ description: 'An entry of a field manager.' }),
        'Who set which field; kept by the server.',
      ),
    ),
    selfLink: Type.Optional(text('Obsolete; accepted and dropped.')),
  },
  'Standard metadata of an object.',
)

/** Metadata of a stored object: what the server sets is there. */
export type ObjectMeta = Static<typeof objectMeta> & {
  name: string
  namespace: string
  uid: string
  resourceVersion: string
  generation: number
  creationTimestamp: string
}

/** Metadata of a stored object that lies in no namespace. */
export type ClusterObjectMeta = Omit<ObjectMeta, 'namespace'> & { namespace?: undefined }

/** Metadata as a client may send it. */
export type DraftMeta = Static<typeof objectMeta> & { name: string }

/** Clients in Go write fields that they leave out as empty texts, and Kubernetes takes these, and null, for left out. */
export function withoutEmpty<M extends object>(metadata: M): M {
  return Object.fromEntries(
    Object.entries(metadata).filter(([, value]) => value !== '' && value !== null),
  ) as M
}

const marks = ['name', 'generateName', 'namespace', 'uid', 'resourceVersion'] as const

/**
 * What is no text of that by which metadata says which object is meant, and which version of it: this is gone by
 * before anybody looks whether the object is valid.
 */
export function markErrors(metadata: object): FieldError[] {
  const given = metadata as Readonly<Record<string, unknown>>
  return marks
    .filter((name) => given[name] !== undefined && typeof given[name] !== 'string')
    .map((name) => malformed(at('metadata', name), 'must be of type string'))
}

const subdomain = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/
const label = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/

/** What names may look like: a DNS subdomain or label (RFC 1123), or anything that is one segment of a path. */
export type NameForm = 'subdomain' | 'label' | 'path-segment'

const nameForms: Record<NameForm, { readonly fits: (name: string) => boolean; readonly detail: string }> = {
  subdomain: {
    fits: (name) => subdomain.test(name) && name.length <= 253,
    detail: "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'",
  },
  label: {
    fits: (name) => label.test(name),
    detail: "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'",
  },
  'path-segment': {
    fits: (name) => !/^\.{1,2}$|[/%]/.test(name) && name.length > 0 && name.length <= 253,
    detail: "may not be '.' or '..' nor contain '/' or '%'",
  },
}

const qualifiedName =
  /^(?:(?=[^/]{1,253}\/)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*\/)?[A-Za-z0-9](?:[\w.-]{0,61}[A-Za-z0-9])?$/
const labelValue = /^(?:[A-Za-z0-9](?:[\w.-]{0,61}[A-Za-z0-9])?)?$/
const nameDetail =
  "a qualified name is a name of at most 63 letters, digits, '-', '_' and '.', which begins and ends with a letter or " +
  'a digit, perhaps behind a DNS subdomain and a slash'
const valueDetail =
  "a label's value is empty, or at most 63 letters, digits, '-', '_' and '.', and begins and ends with a letter or a digit"

// The bound of Kubernetes: kubectl keeps in an annotation all that it applied.
const maxAnnotationBytes = 256 * 1024

/** Whoever breaks these rules could write what no selector can name, and no other Kubernetes would take. */
function labelErrors({
  labels = {},
  annotations = {},
  finalizers = [],
}: Static<typeof objectMeta>): FieldError[] {
  const names = (field: string, found: readonly string[]) =>
    found
      .filter((name) => !qualifiedName.test(field === 'metadata.annotations' ? name.toLowerCase() : name))
      .map((name) => invalid(field, name, nameDetail))
  const values = Object.values(labels).filter((value) => !labelValue.test(value))
  const bytes = Object.entries(annotations).flat()
  const size = bytes.reduce((sum, text) => sum + Buffer.byteLength(text), 0)
  return [
    ...names('metadata.labels', Object.keys(labels)),
    ...values.map((value) => invalid('metadata.labels', value, valueDetail)),
    ...names('metadata.annotations', Object.keys(annotations)),
    ...(size > maxAnnotationBytes
      ? [malformed('metadata.annotations', `they have more than ${maxAnnotationBytes} bytes together`)]
      : []),
    ...names('metadata.finalizers', finalizers),
  ]
}

function ownerErrors({ ownerReferences = [] }: Static<typeof objectMeta>): FieldError[] {
  const field = 'metadata.ownerReferences'
  const controllers = ownerReferences.filter(({ controller }) => controller === true)
  return [
    ...ownerReferences.flatMap(({ apiVersion }, index) =>
      apiVersion.split('/').length <= 2
        ? []
        : [invalid(at(field, index, 'apiVersion'), apiVersion, 'GROUP/VERSION')],
    ),
    ...(controllers.length > 1 ? [malformed(field, 'one of them at most can be the controller')] : []),
  ]
}

function managerErrors({ managedFields = [] }: Static<typeof objectMeta>): FieldError[] {
  return managedFields.flatMap((entry, index) =>
    typeof entry === 'object' && entry !== null && !Array.isArray(entry)
      ? []
      : [malformed(at('metadata.managedFields', index), 'must be of type object')],
  )
}

/** The rules for the metadata of a kind of this scope, whose names have this form. */
export function checkMeta(
  meta: Static<typeof objectMeta>,
  { scope, names = 'subdomain' }: { readonly scope: 'Namespaced' | 'Cluster'; readonly names?: NameForm },
): FieldError[] {
  const errors: FieldError[] = []
  if (meta.name === undefined) errors.push(required('metadata.name', 'name or generateName is required'))
  else if (!nameForms[names].fits(meta.name)) {
    errors.push(invalid('metadata.name', meta.name, nameForms[names].detail))
  }
  if (meta.namespace !== undefined && scope === 'Cluster') {
    errors.push(forbidden('metadata.namespace', 'not allowed on this type'))
  } else if (meta.namespace !== undefined && !label.test(meta.namespace)) {
    errors.push(invalid('metadata.namespace', meta.namespace, 'a lowercase RFC 1123 label is expected'))
  }
  return [...errors, ...labelErrors(meta), ...ownerErrors(meta), ...managerErrors(meta)]
}
