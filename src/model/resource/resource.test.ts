import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { TSchema } from 'typebox'
import {
  assumableByAnyLocalUser,
  bindingSpecOf,
  expectResource,
  fieldErrorsOf,
  findKind,
  kindAt,
  kinds,
  normalizeSelectors,
  parseResource,
  resourceWarnings,
  scopeOf,
  serviceAddresses,
  sourceType,
  unsupportedFields,
  withCondition,
  withoutCondition,
  type Kind,
} from './index.ts'

function errorsOf(kind: Kind, spec: unknown, metadata: object = { name: 'x' }): string[] {
  const { apiVersion } = kinds.find((definition) => definition.kind === kind)!
  const content = kind === 'Secret' ? (spec as object) : { spec }
  const parsed = parseResource({ apiVersion, kind, metadata, ...content })
  return parsed.ok ? [] : parsed.errors.map(({ field, message }) => `${field}: ${message}`)
}

const identity = {
  workloadID: 'my/app',
  scope: { daemon: { id: 'd/1' } },
  selectors: [{ 'process:uid': 1000 }],
}
const aws = { roleArn: 'arn:aws:iam::123456789012:role/path/my-role' }
const binding = {
  workloadID: 'my/app',
  credentialSource: 'aws',
  propagation: { injection: { selectors: [{ app: 'x' }] } },
}
const service = (...addresses: object[]) => ({ labels: { app: 'x' }, addresses })

const refusals: readonly [Kind, unknown, string][] = [
  ['WorkloadIdentity', undefined, 'spec: Required value'],
  ['WorkloadIdentity', { ...identity, workloadID: undefined }, 'spec.workloadID: Required value'],
  ['WorkloadIdentity', { ...identity, workloadID: null }, 'spec.workloadID: Required value'],
  [
    'WorkloadIdentity',
    { ...identity, workloadID: 5 },
    'spec.workloadID: Invalid value: must be of type string',
  ],
  [
    'WorkloadIdentity',
    { ...identity, workloadID: '/a' },
    'spec.workloadID: Invalid value: "/a": must be a path',
  ],
  ['WorkloadIdentity', { ...identity, workloadID: 'a/../b' }, 'spec.workloadID: Invalid value: "a/../b"'],
  ['WorkloadIdentity', { ...identity, foo: 1 }, 'spec.foo: unknown field'],
  ['WorkloadIdentity', { ...identity, selectors: [] }, 'spec.selectors: Invalid value'],
  ['WorkloadIdentity', { ...identity, selectors: [{}] }, 'spec.selectors[0]: Required value'],
  ['WorkloadIdentity', { ...identity, selectors: [{ foo: 'x' }] }, 'spec.selectors[0].foo: unknown field'],
  [
    'WorkloadIdentity',
    { ...identity, selectors: [{ 'process:user': 'x' }] },
    'spec.selectors[0][process:user]: unknown field',
  ],
  [
    'WorkloadIdentity',
    { ...identity, selectors: [{ 'process:uid': true }] },
    'spec.selectors[0][process:uid]: Invalid value: must be a string, an integer or a list of these',
  ],
  [
    'WorkloadIdentity',
    { ...identity, selectors: [{ 'process:uid': [] }] },
    'spec.selectors[0][process:uid]: Invalid value',
  ],
  ['WorkloadIdentity', { ...identity, scope: {} }, 'spec.scope: Required value: exactly one of'],
  [
    'WorkloadIdentity',
    { ...identity, scope: { daemon: { id: 'a' }, agentGroup: { id: 'b' } } },
    'spec.scope: Invalid value: exactly one of daemon, daemonGroup, agentGroup must be set, not daemon and agentGroup',
  ],
  ['WorkloadIdentity', { ...identity, scope: { daemon: {} } }, 'spec.scope.daemon.id: Required value'],
  [
    'WorkloadIdentity',
    { ...identity, connection: { tls: { mode: 'NONE' } } },
    'spec.connection.tls.mode: Unsupported value: "NONE": supported values: "MUTUAL", "SIMPLE", "PERMISSIVE"',
  ],
  [
    'WorkloadIdentity',
    { ...identity, svid: { x509: { ttl: '1h' } } },
    'spec.svid.x509.ttl: Invalid value: "1h": must be a duration in whole seconds such as 3600s',
  ],
  ['Service', service({ address: 'a', bort: 1 }), 'spec.addresses[0].bort: unknown field'],
  ['Service', service({ address: 'a', port: 0 }), 'spec.addresses[0].port: Invalid value: 0'],
  ['Service', service({ address: 'a', port: 70_000 }), 'spec.addresses[0].port: Invalid value: 70000'],
  ['Service', service({ address: 'https://a' }), 'spec.addresses[0].address: Invalid value'],
  ['Service', service({ address: 'a.example.' }), 'spec.addresses[0].address: Invalid value'],
  ['Service', service({ address: 'a.example:443' }), 'spec.addresses[0].address: Invalid value'],
  ['Service', service({ address: '1.2.3' }), 'spec.addresses[0].address: Invalid value'],
  ['Service', service({ address: '10.0.0.256' }), 'spec.addresses[0].address: Invalid value'],
  ['Service', service({ address: '*' }), 'spec.addresses[0].address: Invalid value'],
  ['Service', service({ address: '*.com' }), 'spec.addresses[0].address: Invalid value'],
  ['Service', service({ address: 'a.*.example.org' }), 'spec.addresses[0].address: Invalid value'],
  ['Service', service({ address: '*.*.example.org' }), 'spec.addresses[0].address: Invalid value'],
  [
    'Service',
    service({ address: 'x', aliases: ['*.CloudFront.net'] }),
    'spec.addresses[0].aliases[0]: Invalid value',
  ],
  [
    'Service',
    service({ address: '*.lambda-url.eu-west-1.on.aws' }),
    'spec.addresses[0].address: Invalid value: "*.lambda-url.eu-west-1.on.aws": anyone can host under',
  ],
  [
    'Service',
    { labels: {}, caBundle: 'not a certificate' },
    'spec.caBundle: Invalid value: must be certificates in PEM',
  ],
  ['CredentialSource', {}, 'spec: Required value: exactly one of aws, kubernetes'],
  ['CredentialSource', { aws, gcp: {} }, 'spec: Invalid value: exactly one of'],
  ['CredentialSource', { aws, nimbus: {} }, 'spec.nimbus: unknown field'],
  ['CredentialSource', { aws: {} }, 'spec.aws.roleArn: Required value'],
  ['CredentialSource', { aws: { roleArn: 'my-role' } }, 'spec.aws.roleArn: Invalid value: "my-role"'],
  [
    'CredentialSource',
    { aws: { ...aws, audience: 'x' } },
    'spec.aws.audience: Invalid value: must be of type array',
  ],
  ['CredentialSource', { aws: { ...aws, audience: [] } }, 'spec.aws.audience: Invalid value'],
  [
    'CredentialSource',
    { aws: { ...aws, lifetime: '60s' } },
    'spec.aws.lifetime: Invalid value: "60s": must be between',
  ],
  ['CredentialSource', { aws: { ...aws, idTokenLifetime: '1s' } }, 'spec.aws.idTokenLifetime: Invalid value'],
  [
    'CredentialSource',
    { aws: { ...aws, idTokenClaims: { sub: 'x' } } },
    'spec.aws.idTokenClaims.sub: Forbidden: registered claims are set by the issuer',
  ],
  [
    'CredentialSource',
    { aws: { ...aws, endpoint: 'http://sts.example' } },
    'spec.aws.endpoint: Invalid value',
  ],
  [
    'CredentialSource',
    { aws: { ...aws, endpoint: 'https://a:b@sts.example' } },
    'spec.aws.endpoint: Invalid value',
  ],
  ['CredentialSource', { aws: { ...aws, region: 'us east' } }, 'spec.aws.region: Invalid value'],
  ['CredentialBinding', { ...binding, propagation: {} }, 'spec.propagation: Required value'],
  ['CredentialBinding', { ...binding, propagation: { sysfs: null } }, 'spec.propagation: Required value'],
  [
    'CredentialBinding',
    { ...binding, propagation: { injection: { selectors: [{}] } } },
    'spec.propagation.injection.selectors[0]: Required value: an empty selector would match every Service',
  ],
  [
    'CredentialBinding',
    { ...binding, minimumCapture: 'none' },
    'spec.minimumCapture: Unsupported value: "none"',
  ],
  ['WorkloadCredential', { workloadID: 'a' }, 'spec.credentialSource: Required value'],
  ['Daemon', { workloadID: 'a', claimerType: 'Trust' }, 'spec.claimerType: Unsupported value: "Trust"'],
  ['Verifier', {}, 'spec: Required value: exactly one of joinToken'],
  ['Verifier', { joinToken: {}, AWSIID: {} }, 'spec: Invalid value: exactly one of'],
  ['Verifier', { joinToken: {}, requiredMetadata: [{}] }, 'spec.requiredMetadata[0]: Required value'],
  ['JoinToken', { token: 'x'.repeat(16), expireAt: 'tomorrow' }, 'spec.expireAt: Invalid value: "tomorrow"'],
  ['Secret', { data: { 'a b': 'YQ==' } }, 'data[a b]: Invalid value'],
  ['Secret', { data: { a: 'no base64' } }, 'data.a: Invalid value: must be base64'],
]

test('an object with any number of unknown fields is refused, whatever else is wrong with it', () => {
  for (const count of [1, 8, 9, 1_000, 100_000]) {
    const unknown = Object.fromEntries(Array.from({ length: count }, (_, index) => [`x/${index}`, 1]))
    const spec = { addresses: [{ address: 'a.example' }], external: 'yes', ...unknown }
    const parsed = parseResource({
      apiVersion: 'core.riptides.io/v1alpha1',
      kind: 'Service',
      metadata: { name: 'a' },
      spec,
    })
    assert.ok(!parsed.ok)
    const fields = parsed.errors.map(({ field }) => field)
    if (count < 10) assert.ok(fields.includes('spec.external'))
    if (count < 20_000) assert.ok(fields.includes('spec[x/0]'))
    else assert.deepEqual(fields, [''], 'where it is wrong is not looked for')
  }
})

for (const [kind, spec, message] of refusals) {
  test(`${kind} ${JSON.stringify([spec]).slice(1, 90)} is refused`, () => {
    const errors = errorsOf(kind, spec)
    assert.equal(errors.length, 1, errors.join('\n'))
    assert.equal(errors[0]!.slice(0, message.length), message)
  })
}

test('what a kind allows is accepted', () => {
  const accepted: readonly [Kind, unknown][] = [
    ['WorkloadIdentity', { ...identity, selectors: [{ 'process:uid': [0, '1'], 'process:env:A B': 'x' }] }],
    [
      'WorkloadIdentity',
      { ...identity, selectors: [{ 'process:ancestor:name': 'sshd', 'docker:label:a': 'b' }] },
    ],
    [
      'Service',
      service(
        { address: '::1', port: 1 },
        { address: '10.0.0.1' },
        { address: '*.s3.eu-west-1.amazonaws.com' },
      ),
    ],
    [
      'Service',
      service({ address: '*.cloudfront.net', wildcardReason: 'only our distributions are reachable' }),
    ],
    [
      'CredentialSource',
      { aws: { roleArn: 'arn:aws:iam:::role/S3Access', endpoint: 'http://127.0.0.1:8000/' } },
    ],
    ['CredentialSource', { rfc8693: { anything: { goes: [1] } } }],
    ['CredentialBinding', { ...binding, minimumCapture: 'user', allowCredentialIssuance: true }],
    ['JoinToken', { expireAt: '2030-01-01T00:00:00Z' }],
    ['Secret', { type: 'Opaque', data: { a: '' }, stringData: { 'b.c-d_e': '' } }],
  ]
  for (const [kind, spec] of accepted) assert.deepEqual(errorsOf(kind, spec), [], JSON.stringify(spec))
})

test('names and namespaces are DNS names', () => {
  for (const name of ['', 'A', 'a_b', '-a', 'a..b', 'a/b', 'x'.repeat(254)]) {
    assert.equal(errorsOf('Service', service(), { name }).length, 1, name)
  }
  assert.deepEqual(errorsOf('Service', service(), {}), [
    'metadata.name: Required value: name or generateName is required',
  ])
  assert.equal(errorsOf('Service', service(), { name: 'a', namespace: 'a.b' }).length, 1)
})

test('an object of no known kind says which', () => {
  const parsed = parseResource({ apiVersion: 'core.riptides.io/v2', kind: 'Service' })
  assert.ok(!parsed.ok)
  assert.match(parsed.errors[0]!.message, /no matches for kind "Service" in version "core\.riptides\.io\/v2"/)
  for (const value of [null, 5, 'x', []]) assert.equal(parseResource(value).ok, false)
})

test('a fault carries its field errors', () => {
  const object = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'a' }, foo: 1, data: { a: 1 } }
  assert.throws(
    () => expectResource(object),
    (error) => {
      assert.deepEqual(
        fieldErrorsOf(error).map(({ field }) => field),
        ['foo', 'data.a'],
      )
      assert.match((error as Error).message, /^Secret "a" is invalid: \[/)
      return true
    },
  )
})

test('no input makes the parser throw, and no error shows what is write-only', () => {
  const secret = 'S3CRET-BYTES-IN-THE-WRONG-PLACE'
  const shape = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom(secret, '', null, 5, true, 'x'.repeat(20)),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(
        fc.constantFrom('token', 'data', 'stringData', 'spec', 'a', 'expireAt', 'workloadID', '__proto__'),
        tie('value'),
        { maxKeys: 4 },
      ),
    ),
  })).value
  fc.assert(
    fc.property(
      fc.constantFrom(...kinds),
      shape,
      shape,
      shape,
      ({ apiVersion, kind }, spec, data, metadata) => {
        const parsed = parseResource({ apiVersion, kind, metadata, spec, data, stringData: data })
        if (parsed.ok) return
        if (kind !== 'JoinToken' && kind !== 'Secret') return
        const writeOnly = parsed.errors.filter(({ field }) =>
          /^(data|stringData|spec\.token|spec$)/.test(field),
        )
        for (const { message } of writeOnly) assert.ok(!message.includes(secret), message)
      },
    ),
  )
})

test('kinds are found by plural, singular, short name and alias, in any case, with or without group', () => {
  const spellings: readonly [string, Kind][] = [
    ['workloadidentitys', 'WorkloadIdentity'],
    ['workloadidentities', 'WorkloadIdentity'],
    ['WorkloadIdentity', 'WorkloadIdentity'],
    ['wi', 'WorkloadIdentity'],
    ['CREDENTIALSOURCE', 'CredentialSource'],
    ['credentialbindings.core.riptides.io', 'CredentialBinding'],
    ['jointoken.v1alpha1.auth.riptides.io', 'JoinToken'],
    ['secrets', 'Secret'],
  ]
  for (const [text, kind] of spellings) assert.equal(findKind(text).kind, kind)
  assert.throws(() => findKind('pods'), { code: 'KIND_UNKNOWN', message: /resource type "pods"/ })
  assert.equal(kindAt('core.riptides.io', 'v1alpha1', 'workloadidentity')?.kind, 'WorkloadIdentity')
  assert.equal(kindAt('auth.riptides.io', 'v1alpha1', 'services'), undefined)
  assert.equal(kindAt('', 'v1', 'secrets')?.kind, 'Secret')
})

test('every field of every kind has a description', () => {
  const walk = (node: TSchema, path: string): void => {
    const {
      description,
      properties = {},
      items,
      patternProperties,
    } = node as {
      description?: string
      properties?: Record<string, TSchema>
      items?: TSchema
      patternProperties?: Record<string, TSchema>
    }
    assert.ok(description !== undefined || /\{\}|\[\]\.\{\}/.test(path), `${path} has no description`)
    for (const [name, child] of Object.entries(properties)) walk(child, `${path}.${name}`)
    if (items) walk(items, `${path}[]`)
    for (const child of Object.values(patternProperties ?? {})) walk(child, `${path}.{}`)
  }
  for (const { kind, schema } of kinds) walk(schema, kind)
})

test('kind names and their spellings are unambiguous', () => {
  const names = kinds.flatMap(({ plural, singular, shortNames, aliases }) => [
    plural,
    singular,
    ...shortNames,
    ...aliases,
  ])
  assert.equal(new Set(names).size, names.length)
})

test('selector values are read as lists of strings, and kept as written', () => {
  const selectors = [{ 'process:uid': 501, 'destination:port': [8080, '8443'], 'process:name': 'a' }]
  assert.deepEqual(normalizeSelectors(selectors), [
    { 'process:uid': ['501'], 'destination:port': ['8080', '8443'], 'process:name': ['a'] },
  ])
  const { draft } = expectResource({
    apiVersion: 'core.riptides.io/v1alpha1',
    kind: 'WorkloadIdentity',
    metadata: { name: 'a' },
    spec: { ...identity, selectors },
  })
  assert.deepEqual((draft as unknown as { spec: { selectors: unknown } }).spec.selectors, selectors)
})

test('the older spelling of a scope means the same', () => {
  assert.deepEqual(scopeOf({ scope: { agentGroup: { id: 'g' } } }), { kind: 'daemonGroup', id: 'g' })
  assert.deepEqual(scopeOf({ scope: { daemonGroup: { id: 'g' } } }), { kind: 'daemonGroup', id: 'g' })
  assert.deepEqual(scopeOf({ scope: { daemon: { id: 'd' } } }), { kind: 'daemon', id: 'd' })
})

test('an identity that says what runs but not who runs it can be assumed by any local user', () => {
  assert.equal(assumableByAnyLocalUser([{ 'process:binary:path': '/usr/bin/curl', 'process:gid': 5 }]), true)
  assert.equal(assumableByAnyLocalUser([{ 'process:uid': 5 }, { 'process:name': 'a' }]), true)
  for (const key of ['process:uid', 'systemd:unit', 'docker:name', 'k8s:pod:name']) {
    assert.equal(assumableByAnyLocalUser([{ [key]: 'x', 'process:name': 'a' }]), false, key)
  }
})

test('fields that are accepted but not acted on are told by path', () => {
  const fieldsOf = (kind: Kind, spec: unknown) => {
    const { apiVersion } = kinds.find((definition) => definition.kind === kind)!
    const { draft } = expectResource({ apiVersion, kind, metadata: { name: 'x' }, spec })
    for (const path of unsupportedFields(draft)) {
      assert.ok(resourceWarnings(draft).includes(`${path}: accepted but not acted on yet`))
    }
    return unsupportedFields(draft)
  }
  assert.deepEqual(
    fieldsOf('WorkloadIdentity', { ...identity, egress: [{}], connection: { tls: { mode: 'MUTUAL' } } }),
    ['spec.connection.tls.mode', 'spec.egress[0]'],
  )
  assert.deepEqual(fieldsOf('CredentialSource', { vault: {} }), ['spec.vault'])
  assert.deepEqual(fieldsOf('CredentialSource', { aws: { ...aws, audience: ['a', 'b'] } }).slice(0, 1), [
    'spec.aws.audience[1]',
  ])
  assert.deepEqual(fieldsOf('CredentialBinding', { ...binding, propagation: { sysfs: {} } }).slice(0, 1), [
    'spec.propagation.sysfs',
  ])
  assert.deepEqual(fieldsOf('Verifier', { JWT: {} }).slice(0, 1), ['spec.JWT'])
})

test('small readers of specifications', () => {
  assert.deepEqual(
    serviceAddresses({ addresses: [{ address: 'A.example', aliases: ['B.example'], port: 1 }] }),
    [
      { host: 'a.example', port: 1 },
      { host: 'b.example', port: 1 },
    ],
  )
  assert.equal(sourceType({ gcp: {} }), 'gcp')
  const credential = { spec: { workloadID: 'a', credentialSource: 'b' } } as Parameters<
    typeof bindingSpecOf
  >[0]
  assert.deepEqual(bindingSpecOf(credential), { ...credential.spec, propagation: { sysfs: {} } })
})

test('the transition time of a condition moves only when its status does', () => {
  const ready = (status: 'True' | 'False', message: string) => ({
    type: 'Ready',
    status,
    reason: 'R',
    message,
  })
  const first = withCondition([], ready('True', 'a'), 0)
  const second = withCondition(first, ready('True', 'b'), 1000)
  assert.deepEqual(second, [{ ...ready('True', 'b'), lastTransitionTime: '1970-01-01T00:00:00.000Z' }])
  const third = withCondition(second, ready('False', 'c'), 2000)
  assert.equal(third[0]!.lastTransitionTime, '1970-01-01T00:00:02.000Z')
  assert.deepEqual(withoutCondition(third, 'Ready'), [])
})

test('labels, annotations, finalizers and owners are of the forms that Kubernetes has for them', () => {
  const errors = (metadata: object) =>
    errorsOf('Service', service(), { name: 'a', ...metadata }).map((error) => error.split(':', 1)[0])
  const fine = {
    labels: { app: '', 'example.org/a_b.c': 'x'.repeat(63) },
    annotations: { 'Example.org/A': '\u{1f600} anything', a: 'x'.repeat(200_000) },
    finalizers: ['orphan', 'example.org/a'],
  }
  assert.deepEqual(errors(fine), [])
  const owner = { apiVersion: 'v1', kind: 'Secret', name: 'x', uid: 'u' }
  const cases: readonly [string, readonly object[]][] = [
    [
      'metadata.labels',
      [
        { 'a b': '' },
        { 'a/b/c': '' },
        { '-a': '' },
        { 'A.org/a': '' },
        { a: 'x y' },
        { a: 'x'.repeat(64) },
      ].map((labels) => ({ labels })),
    ],
    [
      'metadata.annotations',
      [{ 'a b': '' }, { a: 'x'.repeat(270_000) }].map((annotations) => ({ annotations })),
    ],
    ['metadata.finalizers', [{ finalizers: ['example.org/-'] }]],
    ['metadata.ownerReferences[0].apiVersion', [{ ownerReferences: [{ ...owner, apiVersion: 'a/b/c' }] }]],
    [
      'metadata.ownerReferences',
      [{ ownerReferences: ['u', 'v'].map((uid) => ({ ...owner, uid, controller: true })) }],
    ],
  ]
  for (const [field, wrong] of cases)
    for (const metadata of wrong)
      assert.deepEqual(errors(metadata), [field], JSON.stringify(metadata).slice(0, 80))
})
