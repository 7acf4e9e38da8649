import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseResource } from './index.ts'

const core = 'core.riptides.io/v1alpha1'

/** What is wrong with an object, by field. */
function errorsOf(kind: string, spec: object): readonly string[] {
  const parsed = parseResource({ apiVersion: core, kind, metadata: { name: 'a' }, spec })
  return parsed.ok ? [] : parsed.errors.map(({ field, message }) => `${field}: ${message}`)
}

describe('an identity that any process can assume', () => {
  const identity = (selectors: object[], more: object = {}) =>
    errorsOf('WorkloadIdentity', { workloadID: 'a/b', scope: { daemon: { id: 'd' } }, selectors, ...more })

  const everybody: object[] = [
    { 'destination:port': 443 },
    { 'destination:port': [443, 80] },
    { 'process:cmdline': '' },
    { 'process:cmdline': ['/opt/app', '/'] },
    { 'process:ancestor:uid': 0 },
    { 'process:ancestor:name': 'systemd' },
    { 'process:ancestor:name': ['nginx', 'init'] },
    { 'process:ancestor:binary:path': '/usr/lib/systemd/systemd' },
    { 'process:ancestor:cmdline': '/sbin/' },
    { 'process:ancestor:uid': '0', 'destination:port': 443, 'process:cmdline': '/' },
  ]
  for (const selector of everybody) {
    test(`is refused: ${JSON.stringify(selector)}`, () => {
      const [error, ...others] = identity([{ 'process:uid': 1 }, selector])
      assert.match(error!, /^spec.selectors\[1\]: Forbidden: any process .* spec.anyProcessReason$/)
      assert.deepEqual(others, [])
      assert.deepEqual(identity([selector], { anyProcessReason: 'a machine with one purpose' }), [])
    })
  }
  test('is one without any key, whatever is said', () => {
    assert.match(identity([{}])[0]!, /an empty selector would match everything/)
    assert.match(
      identity([{}], { anyProcessReason: 'because' })[0]!,
      /an empty selector would match everything/,
    )
  })

  const somebody: object[] = [
    { 'process:uid': 0 },
    { 'process:name': 'python3' },
    { 'process:cmdline': '/opt/app' },
    { 'process:ancestor:name': 'nginx' },
    { 'process:ancestor:uid': 1000 },
    { 'destination:port': 443, 'process:binary:path': '/usr/bin/curl' },
    { 'process:ancestor:name': 'systemd', 'process:name': 'curl' },
  ]
  for (const selector of somebody) {
    test(`is not: ${JSON.stringify(selector)}`, () => assert.deepEqual(identity([selector]), []))
  }
})

describe('a Service that matches half the internet', () => {
  const service = (address: string, wildcardReason?: string) =>
    errorsOf('Service', { labels: {}, addresses: [{ address, ...(wildcardReason && { wildcardReason }) }] })

  const dangers = {
    'everyone who has a name under .* would receive signed requests': [
      '*.com',
      '*.io',
      '*.co.uk',
      '*.com.au',
      '*.CO.JP',
      '*.internal',
      // Everything below is a suffix.
      '*.ck',
      '*.kawasaki.jp',
      '*.gov.in',
      '*.xn--55qx5d.cn',
    ],
    'anyone can host under': [
      '*.de.com',
      '*.github.io',
      '*.workers.dev',
      '*.cloudfront.net',
      '*.run.app',
      '*.execute-api.us-east-1.amazonaws.com',
      '*.lambda-url.eu-west-1.on.aws',
      '*.us-west-2.compute.amazonaws.com',
      '*.compute-1.amazonaws.com',
      '*.us-east-1.elb.amazonaws.com',
      '*.elb.us-east-1.amazonaws.com',
      '*.s3-website-us-east-1.amazonaws.com',
      '*.s3-object-lambda.us-east-1.amazonaws.com',
      '*.westeurope.cloudapp.azure.com',
    ],
  }
  for (const [danger, addresses] of Object.entries(dangers)) {
    for (const address of addresses) {
      test(`is refused unless somebody says why: ${address}`, () => {
        const refusal = new RegExp(
          `^spec.addresses\\[0\\].address: Invalid value: .*${danger}.* wildcardReason beside it$`,
        )
        assert.match(service(address)[0]!, refusal)
        assert.deepEqual(service(address, 'a zone of our own'), [])
      })
    }
  }
  for (const address of ['*', '*.', '**.com', '*.*.com', 'a.*.com', '*.10.0.0.1']) {
    test(`is refused whatever is said, for no address is like it: ${address}`, () => {
      assert.match(service(address, 'a zone of our own')[0]!, /must be a DNS name/)
    })
  }
  for (const address of [
    '*.example.com',
    '*.example.co.uk',
    'com',
    'co.uk',
    'd111111abcdef8.cloudfront.net',
    // Answered by AWS, whosever bucket it is.
    '*.s3.us-east-1.amazonaws.com',
    '*.s3.amazonaws.com',
    '*.s3.dualstack.eu-west-1.amazonaws.com',
    '*.s3-us-gov-west-1.amazonaws.com',
    '*.s3.cn-north-1.amazonaws.com.cn',
    '*.s3-accesspoint.us-east-1.amazonaws.com',
    '*.us-east-1.amazonaws.com',
    '*.amazonaws.com',
    '*.us-east-1.api.aws',
  ]) {
    test(`is not: ${address}`, () => assert.deepEqual(service(address), []))
  }
})

describe('a reason', () => {
  const refused = (field: string, reason: string) =>
    `${field}: Invalid value: ${JSON.stringify(reason)}: must have a character that is no blank`
  for (const reason of ['', ' ', '\t \n', '\u00a0']) {
    test(`says something: ${JSON.stringify(reason)} does not`, () => {
      const identity = {
        workloadID: 'a/b',
        scope: { daemon: { id: 'd' } },
        selectors: [{ 'process:uid': 1 }],
      }
      assert.deepEqual(errorsOf('WorkloadIdentity', { ...identity, anyProcessReason: reason }), [
        refused('spec.anyProcessReason', reason),
      ])
      const address = { address: '*.com', wildcardReason: reason }
      assert.deepEqual(errorsOf('Service', { labels: {}, addresses: [address] }), [
        refused('spec.addresses[0].wildcardReason', reason),
      ])
      const propagation = { injection: { selectors: [{ app: 'x' }] } }
      const binding = { workloadID: 'a/b', credentialSource: 'aws', propagation, plainTextReason: reason }
      assert.deepEqual(errorsOf('CredentialBinding', binding), [refused('spec.plainTextReason', reason)])
    })
  }
})
