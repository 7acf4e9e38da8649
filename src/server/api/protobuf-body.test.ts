import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { assert as assertProperty, property, uint8Array } from 'fast-check'
import { readProtobuf } from './protobuf-body.ts'
import { RequestRefusal } from './status.ts'

type Part = readonly [number: number, value: string | Uint8Array | number]

function message(...parts: Part[]): Uint8Array {
  const writer = new BinaryWriter()
  for (const [number, value] of parts) {
    if (typeof value === 'number') writer.tag(number, WireType.Varint).int64(value)
    else if (typeof value === 'string') writer.tag(number, WireType.LengthDelimited).string(value)
    else writer.tag(number, WireType.LengthDelimited).bytes(value)
  }
  return writer.finish()
}

const enveloped = (apiVersion: string, kind: string, ...parts: Part[]) =>
  Buffer.concat([
    Buffer.from('k8s\0'),
    message([1, message([1, apiVersion], [2, kind])], [2, message(...parts)]),
  ])

test('a body is read as it would be in JSON, without what Go writes empty', () => {
  const rule = message([1, 'get'], [1, 'list'], [2, ''], [3, 'secrets'])
  // Name, namespace, an empty uid and the creation time that nobody set.
  const meta = message([1, 'reader'], [3, 'team'], [5, ''], [8, message()])
  assert.deepEqual(readProtobuf(enveloped('rbac.authorization.k8s.io/v1', 'Role', [1, meta], [2, rule])), {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'Role',
    metadata: { name: 'reader', namespace: 'team' },
    rules: [{ verbs: ['get', 'list'], apiGroups: [''], resources: ['secrets'] }],
  })
  const entry = message([1, 'key'], [2, Buffer.from([0, 255])])
  assert.deepEqual(readProtobuf(enveloped('v1', 'Secret', [1, message([1, 'a'])], [2, entry], [5, 0])), {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'a' },
    data: { key: 'AP8=' },
  })
  const spec = message([1, 'tideway'], [4, 600])
  assert.deepEqual(readProtobuf(enveloped('authentication.k8s.io/v1', 'TokenRequest', [2, spec])), {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: { audiences: ['tideway'], expirationSeconds: 600 },
  })
})

test('owners and aggregation are read, for an update without them would take them away', () => {
  const owner = message([1, 'Service'], [3, 'aws'], [4, 'u'], [5, 'core.riptides.io/v1alpha1'], [7, 1])
  const selector = message([1, message([1, 'team'], [2, 'a'])], [2, message([1, 'k'], [2, 'Exists'])])
  const role = enveloped(
    'rbac.authorization.k8s.io/v1',
    'ClusterRole',
    [1, message([1, 'all'], [13, owner])],
    [3, message([1, selector])],
  )
  const { metadata, aggregationRule } = readProtobuf(role) as Record<string, unknown>
  assert.deepEqual(metadata, {
    name: 'all',
    ownerReferences: [
      {
        kind: 'Service',
        name: 'aws',
        uid: 'u',
        apiVersion: 'core.riptides.io/v1alpha1',
        blockOwnerDeletion: true,
      },
    ],
  })
  assert.deepEqual(aggregationRule, {
    clusterRoleSelectors: [
      { matchLabels: { team: 'a' }, matchExpressions: [{ key: 'k', operator: 'Exists' }] },
    ],
  })
})

test('a list of tens of thousands is read once', () => {
  const meta = message(...Array.from({ length: 60_000 }, (): Part => [14, '']))
  const read = readProtobuf(enveloped('v1', 'Namespace', [1, meta]))
  assert.equal((read as { metadata: { finalizers: string[] } }).metadata.finalizers.length, 60_000)
})

test('what must hold of what is deleted is read in the version of any group', () => {
  const options = enveloped(
    'rbac.authorization.k8s.io/v1',
    'DeleteOptions',
    [1, 0],
    [2, message([1, 'u'])],
    [4, 'Orphan'],
  )
  assert.deepEqual(readProtobuf(options), {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'DeleteOptions',
    gracePeriodSeconds: 0,
    preconditions: { uid: 'u' },
    propagationPolicy: 'Orphan',
  })
})

test('anything else is refused, whatever the bytes are', () => {
  const refused = (body: Uint8Array) => assert.throws(() => readProtobuf(body), RequestRefusal)
  refused(Buffer.from(''))
  refused(Buffer.from('{}'))
  refused(enveloped('v1', 'Pod'))
  refused(enveloped('v1', 'constructor'))
  refused(Buffer.concat([enveloped('v1', 'Secret', [1, message([1, 'a'])]), Buffer.from([0xff])]))
  assertProperty(
    property(uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        readProtobuf(Buffer.concat([Buffer.from('k8s\0'), bytes]))
      } catch (error) {
        assert.ok(error instanceof RequestRefusal)
      }
    }),
  )
})
