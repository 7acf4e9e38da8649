import { Type, type Static } from 'typebox'
import { invalid, required, type FieldError } from './field-error.ts'
import { closed, dateTime, list, stringMap, text } from './schema.ts'

export const defaultNamespace = 'riptides-system'

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
    annotations: Type.Optional(stringMap('Free annotations.')),
    finalizers: Type.Optional(list(text('Name of a finalizer.'), 'Finalizers; kept, not waited for yet.')),
    ownerReferences: Type.Optional(
      list(
        Type.Record(Type.String(), Type.Unknown(), { description: 'A reference to an owner.' }),
        'Owners; kept, not acted on yet.',
      ),
    ),
    managedFields: Type.Optional(
      list(
        Type.Unknown({ description: 'An entry of a field manager.' }),
        'Field managers; accepted and dropped.',
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

/** Metadata as a client may send it. */
export type DraftMeta = Static<typeof objectMeta> & { name: string }

const subdomain = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/
const label = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/

/** Names are DNS subdomains (RFC 1123), namespaces DNS labels. */
export function checkMeta(meta: Static<typeof objectMeta>): FieldError[] {
  const errors: FieldError[] = []
  if (meta.name === undefined) errors.push(required('metadata.name', 'name is required'))
  else if (!subdomain.test(meta.name) || meta.name.length > 253) {
    errors.push(
      invalid(
        'metadata.name',
        meta.name,
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'",
      ),
    )
  }
  if (meta.namespace !== undefined && !label.test(meta.namespace)) {
    errors.push(invalid('metadata.namespace', meta.namespace, 'a lowercase RFC 1123 label is expected'))
  }
  return errors
}
