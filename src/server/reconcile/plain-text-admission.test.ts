import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Kind, ResourceOf } from '#model/resource'
import { makeObject } from './fixture.ts'
import { plainTextAdmission } from './plain-text-admission.ts'

const binding = (spec: object = {}) =>
  makeObject('CredentialBinding', 'mine', {
    workloadID: 'app/mine',
    credentialSource: 'aws',
    propagation: { injection: { selectors: [{ app: ['web', 'api'] }] } },
    ...spec,
  })
const service = (spec: object = {}) =>
  makeObject('Service', 'outside', {
    labels: { app: 'api' },
    external: true,
    addresses: [
      { address: 'a.example.org', port: 443 },
      { address: 'b.example.org', port: 80 },
    ],
    ...spec,
  })

function admit(written: ResourceOf<Kind>, ...present: readonly ResourceOf<Kind>[]) {
  const list = ((kind: Kind) => present.filter((object) => object.kind === kind)) as never
  return plainTextAdmission(() => ({ list }))({ operation: 'create', object: written })
}

test('a binding to an external host without TLS is refused, whichever is written last', () => {
  const why = {
    code: 'API_FORBIDDEN',
    message:
      /CredentialBinding mine would send its credential without TLS to spec.addresses\[1\] of the external Service outside: .* spec.plainTextReason of the binding/,
  }
  assert.throws(() => admit(binding(), service()), why)
  assert.throws(() => admit(service(), binding()), why)
  // Without a port an address stands for 443 and 80.
  assert.throws(() => admit(binding(), service({ addresses: [{ address: 'a.example.org' }] })), {
    message: /spec.addresses\[0\]/,
  })
})

test('it is let through where somebody says why, and where there is no such danger', () => {
  assert.deepEqual(admit(binding({ plainTextReason: 'a cable between two machines' }), service()), [])
  assert.deepEqual(admit(service(), binding({ plainTextReason: 'a cable between two machines' })), [])
  for (const spec of [
    { external: false },
    { external: undefined },
    { labels: { app: 'other' } },
    { labels: {} },
    { caBundle: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----' },
    { addresses: [{ address: 'a.example.org', port: 443 }] },
    { addresses: undefined },
  ]) {
    assert.deepEqual(admit(binding(), service(spec)), [], JSON.stringify(spec))
  }
  assert.deepEqual(admit(binding({ propagation: { sysfs: {} } }), service()), [])
})

test('what changes no specification is let through: a state can say what is wrong, and a finalizer go', () => {
  const admission = plainTextAdmission(() => ({ list: ((kind: Kind) => present[kind]) as never }))
  const present: Partial<Record<Kind, ResourceOf<Kind>[]>> = {
    CredentialBinding: [binding()],
    Service: [service()],
  }
  for (const object of [binding(), service()]) {
    assert.deepEqual(admission({ operation: 'update', object, previous: object }), [])
    const metadata = { ...object.metadata, generation: 2 }
    assert.throws(
      () => admission({ operation: 'update', object: { ...object, metadata }, previous: object }),
      {
        code: 'API_FORBIDDEN',
      },
    )
  }
})
