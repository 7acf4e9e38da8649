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

  for (const address of ['*.com', '*.io', '*.co.uk', '*.com.au', '*.CO.JP', '*.internal']) {
    test(`is refused unless somebody says why: ${address}`, () => {
      assert.match(
        service(address)[0]!,
        /^spec.addresses\[0\].address: Invalid value: .*everyone who has a name under .* wildcardReason beside it$/,
      )
      assert.deepEqual(service(address, 'a zone of our own'), [])
    })
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
    '*.s3.us-east-1.amazonaws.com',
    '*.de.com',
  ]) {
    test(`is not: ${address}`, () => assert.deepEqual(service(address), []))
  }
})
