import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'
import type { FastifyInstance } from 'fastify'
import { badRequest, unknownFormat } from './status.ts'

/** Type of a field: of one value, or of a list (`[]`) or map of them. */
type Shape = 'text' | 'bytes' | 'integer' | 'flag' | Message
interface Field {
  readonly name: string
  readonly shape: Shape
  readonly many?: 'list' | 'map'
}
/** Fields by number; those that are not here are not for clients to say, and are passed over. */
interface Message {
  readonly [number: number]: Field
}

const one = (name: string, shape: Shape = 'text'): Field => ({ name, shape })
const list = (name: string, shape: Shape = 'text'): Field => ({ name, shape, many: 'list' })
const map = (name: string, shape: Shape = 'text'): Field => ({ name, shape, many: 'map' })

// The numbers are those of generated.proto in k8s.io/apimachinery and k8s.io/api.
const meta: Field = one('metadata', {
  1: one('name'),
  2: one('generateName'),
  3: one('namespace'),
  5: one('uid'),
  6: one('resourceVersion'),
  11: map('labels'),
  12: map('annotations'),
  13: list('ownerReferences', {
    1: one('kind'),
    3: one('name'),
    4: one('uid'),
    5: one('apiVersion'),
    6: one('controller', 'flag'),
    7: one('blockOwnerDeletion', 'flag'),
  }),
  14: list('finalizers'),
})
const role: Message = {
  1: meta,
  2: list('rules', {
    1: list('verbs'),
    2: list('apiGroups'),
    3: list('resources'),
    4: list('resourceNames'),
    5: list('nonResourceURLs'),
  }),
}
const labelSelector: Message = {
  1: map('matchLabels'),
  2: list('matchExpressions', { 1: one('key'), 2: one('operator'), 3: list('values') }),
}
const clusterRole: Message = {
  ...role,
  3: one('aggregationRule', { 1: list('clusterRoleSelectors', labelSelector) }),
}
const binding: Message = {
  1: meta,
  2: list('subjects', { 1: one('kind'), 2: one('apiGroup'), 3: one('name'), 4: one('namespace') }),
  3: one('roleRef', { 1: one('apiGroup'), 2: one('kind'), 3: one('name') }),
}
const asked: Message = {
  1: one('resourceAttributes', {
    1: one('namespace'),
    2: one('verb'),
    3: one('group'),
    4: one('version'),
    5: one('resource'),
    6: one('subresource'),
    7: one('name'),
  }),
  2: one('nonResourceAttributes', { 1: one('path'), 2: one('verb') }),
  3: one('user'),
  4: list('groups'),
  6: one('uid'),
}
const accessReview: Message = { 1: meta, 2: one('spec', asked) }

const rbac = 'rbac.authorization.k8s.io/v1'
const authorization = 'authorization.k8s.io/v1'
const authentication = 'authentication.k8s.io/v1'

/** Kinds of Kubernetes itself: its clients send these as protobuf; all others come as JSON. */
const kinds: Readonly<Record<string, Message>> = {
  'v1 Namespace': { 1: meta },
  'v1 ServiceAccount': { 1: meta },
  'v1 Secret': {
    1: meta,
    2: map('data', 'bytes'),
    3: one('type'),
    4: map('stringData'),
    5: one('immutable', 'flag'),
  },
  [`${rbac} Role`]: role,
  [`${rbac} ClusterRole`]: clusterRole,
  [`${rbac} RoleBinding`]: binding,
  [`${rbac} ClusterRoleBinding`]: binding,
  [`${authorization} SelfSubjectAccessReview`]: accessReview,
  [`${authorization} SubjectAccessReview`]: accessReview,
  [`${authorization} LocalSubjectAccessReview`]: accessReview,
  [`${authorization} SelfSubjectRulesReview`]: { 1: meta, 2: one('spec', { 1: one('namespace') }) },
  [`${authentication} SelfSubjectReview`]: { 1: meta },
  [`${authentication} TokenRequest`]: {
    1: meta,
    2: one('spec', {
      1: list('audiences'),
      3: one('boundObjectRef', { 1: one('kind'), 2: one('apiVersion'), 3: one('name') }),
      4: one('expirationSeconds', 'integer'),
    }),
  },
}

/** In the version of each group, as clients in Go send it. */
const deleteOptions: Message = {
  1: one('gracePeriodSeconds', 'integer'),
  2: one('preconditions', { 1: one('uid'), 2: one('resourceVersion') }),
  3: one('orphanDependents', 'flag'),
  4: one('propagationPolicy'),
  5: list('dryRun'),
}

// Deeper than any message above.
const maxDepth = 8

function readValue(reader: BinaryReader, shape: Shape, depth: number): unknown {
  switch (shape) {
    case 'text':
      return reader.string()
    case 'bytes':
      return Buffer.from(reader.bytes()).toString('base64')
    case 'integer':
      return Number(reader.int64())
    case 'flag':
      return reader.bool()
    default:
      return readMessage(reader.bytes(), shape, depth + 1)
  }
}

function readMessage(bytes: Uint8Array, message: Message, depth = 0): Record<string, unknown> {
  if (depth > maxDepth) throw new RangeError('too deep')
  const reader = new BinaryReader(bytes)
  const found: Record<string, unknown> = {}
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag()
    const field = message[number]
    const plain = field && (field.shape === 'integer' || field.shape === 'flag')
    if (!field || wireType !== (plain ? WireType.Varint : WireType.LengthDelimited)) {
      reader.skip(wireType, number)
      continue
    }
    const { name, shape, many } = field
    if (many === 'map') {
      const entry = readMessage(reader.bytes(), { 1: one('key'), 2: one('value', shape) }, depth + 1)
      const { key = '', value = '' } = entry as { key?: string; value?: unknown }
      // As in JSON, which is refused with such a key.
      if (key === '__proto__') throw new TypeError('no name of anything')
      const entries = (found[name] ??= {}) as Record<string, unknown>
      entries[key] = value
    } else if (many === 'list') {
      const items = (found[name] ??= []) as unknown[]
      items.push(readValue(reader, shape, depth))
    } else {
      const value = readValue(reader, shape, depth)
      // Go writes what is empty too; as JSON it would not be there.
      if (value !== '' && value !== false) found[name] = value
    }
  }
  return found
}

const magic = Buffer.from('k8s\0')
const envelope: Message = {
  1: one('typeMeta', { 1: one('apiVersion'), 2: one('kind') }),
  2: one('raw', 'bytes'),
}

interface Enveloped {
  readonly typeMeta?: { readonly apiVersion?: string; readonly kind?: string }
  readonly raw?: string
}

/** The object in a body of Kubernetes' own protobuf form, as it would be in JSON. @throws RequestRefusal */
export function readProtobuf(body: Uint8Array): object {
  try {
    if (!magic.equals(body.subarray(0, magic.length))) throw new TypeError('no magic')
    const { typeMeta, raw = '' } = readMessage(body.subarray(magic.length), envelope) as Enveloped
    const { apiVersion, kind } = typeMeta ?? {}
    const message = kind === 'DeleteOptions' ? deleteOptions : kinds[`${apiVersion} ${kind}`]
    if (!message) throw new TypeError('not one of these kinds')
    return { apiVersion, kind, ...readMessage(Buffer.from(raw, 'base64'), message) }
  } catch {
    throw badRequest('the body is not the protobuf form of a kind that is read so: send JSON')
  }
}

/** Reads what kubectl and client-go send for the kinds of Kubernetes itself; a body of no type is JSON, as there. */
export function protobufBodies(app: FastifyInstance): void {
  app.addHook('onRequest', async ({ headers }) => {
    const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
    if (hasBody) headers['content-type'] ??= 'application/json'
  })
  app.addContentTypeParser(
    'application/vnd.kubernetes.protobuf',
    { parseAs: 'buffer' },
    (request, body: Buffer, done) => {
      try {
        // SECURITY: whoever is nobody yet has no business with objects.
        if (!request.principal) throw unknownFormat(['application/json'])
        done(null, readProtobuf(body))
      } catch (error) {
        done(error as Error)
      }
    },
  )
}
