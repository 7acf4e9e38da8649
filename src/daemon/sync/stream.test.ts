import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseSpiffeId } from '#model/identity'
import type { ScopedBinding } from '#model/scope'
import { encodeScopeUpdate } from '#model/scope-codec'
import { follow, nothing, openSetting, update } from './fixture.ts'
import { openLease, openNode } from './index.ts'

const spiffeId = parseSpiffeId('spiffe://example.org/app')
const bindings = (...names: readonly string[]) => {
  const rest = { serviceNames: [], minimumCapture: 'user', allowCredentialIssuance: false } as const
  return names.map((name): ScopedBinding => ({ name, spiffeId, sourceName: 'aws', ...rest }))
}

test('what cannot be read, of a newer server, is withdrawn and named; the rest holds', async (t) => {
  const setting = await openSetting(t)
  const { server } = setting
  const node = await openNode(setting.settings)
  const { scope, acknowledged } = follow(setting, node, openLease(setting.clock))
  await server.until(() => server.calls.streams === 1 && server.reports.length > 0)
  const [newer] = bindings('newer').map((each) => ({ ...each, minimumCapture: 'enclave' as 'user' }))
  server.send({ ...update(1), upsert: { ...nothing, bindings: bindings('kept', 'newer', 'gone') } })
  server.send({
    ...update(2),
    upsert: { ...nothing, bindings: [newer!, ...bindings('more')] },
    remove: { ...nothing, bindings: ['gone'] },
  })
  await server.until(() => acknowledged().length === 2)
  assert.deepEqual([...scope().bindings.keys()], ['kept', 'more'])
  // It stays so until the binding is another one, or gone: no later update makes it look as if it held.
  server.send({ ...update(3), remove: { ...nothing, bindings: ['more'] } })
  server.send({ ...update(4), upsert: { ...nothing, bindings: bindings('newer') } })
  server.send({ ...update(5), upsert: { ...nothing, bindings: [newer!] } })
  server.send({ ...update(6), remove: { ...nothing, bindings: ['newer'] } })
  server.send({ ...update(7), upsert: { ...nothing, bindings: [newer!] } })
  server.send({ ...update(8), reset: true })
  await server.until(() => acknowledged().length === 8)
  const error =
    'update the daemon: it leaves out what it cannot read, ' +
    'CredentialBinding newer (unknown capture level "enclave")'
  const said = server.reports.flatMap(({ body }) => (body.case === 'acknowledge' ? [body.value] : []))
  assert.deepEqual(
    said.map((each) => each.error),
    ['', error, error, '', error, '', error, ''],
  )
  assert.deepEqual(
    said.map((each) => each.leftOut?.bindings.join()),
    said.map((each) => (each.error ? 'newer' : undefined)),
  )
  assert.equal(server.calls.streams, 1)
})

test('an update that is no message ends its stream, and another begins; the lease waits for a scope', async (t) => {
  const setting = await openSetting(t)
  const { server, clock } = setting
  const node = await openNode(setting.settings)
  const lease = openLease(clock)
  const { applied, acknowledged } = follow(setting, node, lease)
  await server.until(() => server.calls.streams === 1 && server.reports.length > 0)
  // An identity of 127 bytes, of which none comes.
  const broken = { no: 3, wireType: 2, data: Buffer.from([127]) }
  server.sendMessage({ ...encodeScopeUpdate(update(1)), $unknown: [broken] })
  const again = server.until(() => server.calls.streams === 2)
  for (let i = 0; server.calls.streams < 2 && i < 1000; i++) {
    await clock.untilArmed()
    await clock.advance(200)
  }
  await again
  assert.deepEqual([applied, acknowledged()], [[], []])
  assert.equal(lease.remainingMs(), 0)
  server.send(update(1))
  await server.until(() => acknowledged().length === 1)
  assert.deepEqual(acknowledged(), [{ revision: 1, error: '' }])
  assert.ok(lease.remainingMs() > 0)
})
