import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault, type FaultCode } from '#base/errors'
import type { Condition } from './conditions.ts'
import { host, identity, listenTls, memoryAudit, openBed, scopeOf, serverIdentity } from './fixture.ts'
import { answering, openClient, request, response } from './talk.ts'

test('who has no more room for records is told apart from a spool that is full', async () => {
  let problem: FaultCode | undefined
  const owners: string[] = []
  const conditions: Condition[] = []
  const audit = {
    ...memoryAudit(),
    async start(_: string, owner: string) {
      owners.push(owner)
      if (problem) throw new Fault(problem, 'no room')
    },
  }
  await using bed = openBed({ audit, onCondition: (condition) => conditions.push(condition) })
  await using upstream = await listenTls(
    serverIdentity(host, { authority: bed.upstreamCa }),
    answering(() => response()),
  )
  bed.plane.apply(scopeOf(upstream.port))
  const proxy = await bed.listen({ address: '127.0.0.1', port: upstream.port })
  using client = await openClient(bed, proxy)
  const states = async () => {
    conditions.length = 0
    const status = (await client.send(request('GET /')))?.head.status
    const about = conditions.filter(({ type }) => type === 'AuditAvailable')
    return [status, ...about.map((one) => `${one.subject} ${one.status}`)]
  }
  problem = 'BUFFERS_EXHAUSTED'
  assert.deepEqual(await states(), [503, `workloadidentity/${identity.name} False`])
  problem = undefined
  assert.deepEqual(await states(), [200, 'daemon True', `workloadidentity/${identity.name} True`])
  problem = 'AUDIT_UNAVAILABLE'
  assert.deepEqual(await states(), [503, 'daemon False'])
  assert.ok(owners.every((owner) => owner === identity.spiffeId))
})
