import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import type { Kind, Resource, ResourceOf } from '#model/resource'
import { bindingAdmission } from './binding-admission.ts'
import { binding, identity, service, source, trustDomain } from './fixture.ts'

const actor = { name: 'ada', groups: [] }

function openAdmission(present: Resource[]) {
  const clock = openTestClock(0)
  const listeners = new Set<(events: never) => void>()
  const list = <K extends Kind>(kind: K, namespace?: string) =>
    present.filter(
      (object) =>
        object.kind === kind && (namespace ?? object.metadata.namespace) === object.metadata.namespace,
    ) as ResourceOf<K>[]
  const cache = {
    list,
    ofWorkload: <K extends 'WorkloadIdentity' | 'CredentialBinding' | 'Daemon'>(
      kind: K,
      workloadId: string,
    ) => list(kind).filter(({ spec }) => spec.workloadID === workloadId),
    onChange(listener: (events: never) => void) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  }
  const admit = bindingAdmission(() => cache, { trustDomain, clock })
  return {
    listeners,
    arrive(object: Resource) {
      present.push(object)
      for (const listener of listeners) listener([] as never)
    },
    /** What whoever writes is told, after all the time that it takes. */
    async warningsOf(object: Resource) {
      const told = Promise.resolve(admit({ operation: 'create', object, actor }))
      await clock.advance(1000)
      return await told
    },
    admit,
  }
}

const there = () => [identity('web', 'app/web'), source('aws'), service('s3', ['s3.amazonaws.com'])]

test('a binding whose parts are there is written without a word', async () => {
  assert.deepEqual(await openAdmission(there()).warningsOf(binding('b', 'app/web', 'aws', 's3')), [])
})

const [web, aws, s3] = there()
const missing: [what: string, present: Resource[], warning: RegExp][] = [
  ['identity', [aws!, s3!], /^b is PENDING: WorkloadIdentity.* "app\/web" not found; create it/],
  ['source', [web!, s3!], /^b is PENDING: CredentialSource.* "aws" not found; create it/],
  ['Service', [web!, aws!], /^b is PENDING: no Service in namespace riptides-system has the labels/],
]
for (const [what, present, warning] of missing) {
  test(`whoever writes a binding is told that its ${what} is missing`, async () => {
    const [told, ...others] = await openAdmission(present).warningsOf(binding('b', 'app/web', 'aws', 's3'))
    assert.match(told!, warning)
    assert.deepEqual(others, [])
  })
}

test('whoever binds a host a second time is told; to write the same binding again is no second time', async () => {
  const first = binding('a', 'app/web', 'aws', 's3')
  const admission = openAdmission([...there(), first])
  const [told] = await admission.warningsOf(binding('b', 'app/web', 'aws', 's3'))
  assert.match(
    told!,
    /^b is FAILED: CredentialBinding a binds the same workload to the same host s3.amazonaws.com/,
  )
  assert.deepEqual(await admission.warningsOf(structuredClone(first)), [])
})

test('what was written just before the binding is waited for', async () => {
  const admission = openAdmission([aws!, s3!])
  const told = admission.admit({ operation: 'create', object: binding('b', 'app/web', 'aws', 's3'), actor })
  admission.arrive(web!)
  assert.deepEqual(await told, [])
  assert.equal(admission.listeners.size, 0)
})

test('the server itself, deletions and other kinds are not judged', async () => {
  const { admit } = openAdmission([])
  const object = binding('b', 'app/web', 'aws', 's3')
  assert.deepEqual(await admit({ operation: 'create', object }), [])
  assert.deepEqual(await admit({ operation: 'delete', object, actor }), [])
  assert.deepEqual(await admit({ operation: 'create', object: web!, actor }), [])
})
