import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { serverIdentity } from '../../../src/daemon/outbound/fixture.ts'
import { openAuthority } from './authority.ts'
import { bindAgent } from './agent.ts'
import { agentHost, agentPath } from './resources.ts'
import { openTrap, type Trap } from './trap.ts'
import type { Workload } from './workload.ts'
import { openWorld, uids, until, type World } from './world.ts'

/** A wrong certificate of the cloud: who is refused for it, and everyone whose business it is, can read why. */
describe('an upstream that cannot prove the name of a bound host', () => {
  let world: World
  let workload: Workload
  let trap: Trap

  before(async () => {
    world = await openWorld()
    trap = await openTrap('203.0.113.66')
    await bindAgent(world)
    workload = await world.startWorkload({ uid: uids.identified })
  })
  after(async () => {
    trap.close()
    await world[Symbol.asyncDispose]()
  })

  /** What `tideway attest` says of the workload. */
  async function attested(): Promise<string> {
    const { code, stdout, stderr } = await world.cli([
      'attest',
      String(workload.pid),
      `--run-dir=${world.layout.run}`,
    ])
    assert.equal(code, 0, stderr)
    return stdout
  }
  async function upstreamVerified() {
    const { status } = await world.api.get('Service', 'runtime')
    return status?.conditions?.find(({ type }) => type === 'UpstreamVerified')
  }

  /** The reason is told to workload, operator and auditor, and nothing is sent. */
  async function expectRefused(path: string, reason: RegExp): Promise<void> {
    const outcome = await workload.do('request', { host: agentHost, address: trap.address, path })
    assert.equal(outcome.headers?.['x-tideway-error'], 'UPSTREAM_UNVERIFIED', JSON.stringify(outcome))
    assert.match(outcome.text!, reason)
    assert.equal(trap.take().text, '')

    assert.match(await attested(), new RegExp(`service/runtime: UpstreamVerified=False: .*${agentHost}`))
    assert.match(await attested(), reason)
    const condition = await until('the Service says so', async () => {
      const found = await upstreamVerified()
      return found?.status === 'False' && reason.test(found.message) && found
    })
    assert.equal(condition.reason, 'UPSTREAM_UNVERIFIED')
    const refused = await until('the audit trail says so', async () => {
      const records = await world.audit()
      return records.find((record) => record.type === 'request.start' && record.path === path)
    })
    assert.partialDeepStrictEqual(refused, { decision: 'refused', identity: 'agent', host: agentHost })
    assert.match((refused as { reason: string }).reason, reason)
  }

  const unknown = openAuthority('Nobody knows this authority')
  const shown: [what: string, make: () => { key: string; cert: string }, reason: RegExp][] = [
    ['of another name', () => world.authority.leafFor('evil.example'), /does not match|altnames/i],
    ['that has expired', () => world.authority.leafFor(agentHost, { expired: true }), /expired/],
    ['that it signed itself', () => serverIdentity(agentHost), /self-signed/],
    ['of an unknown authority', () => unknown.leafFor(agentHost), /unable to|issuer|first certificate/],
  ]
  for (const [index, [what, make, reason]] of shown.entries()) {
    it(`with a certificate ${what}: the reason is told to workload, operator and auditor`, async () => {
      trap.show(make())
      await expectRefused(agentPath('unproved', index), reason)
    })
  }

  it('with a right certificate for a session that is not resumed, and a wrong one since: the reason is told likewise', async () => {
    const ticketKeys = Buffer.alloc(48, 7)
    trap.show({ ...world.authority.leafFor(agentHost), ticketKeys })
    const path = agentPath('resumed', 0)
    const outcome = await workload.do('request', { host: agentHost, address: trap.address, path })
    assert.equal(outcome.text, 'caught')
    trap.take()
    trap.show({ ...serverIdentity(agentHost), ticketKeys })
    await expectRefused(agentPath('resumed', 1), /self-signed/)
  })

  it('has nothing said of it any more once it proves the name', async () => {
    assert.equal((await workload.ask(agentHost, agentPath('proved', 0))).status, 200)
    await until('the Service has recovered', async () => (await upstreamVerified())?.status !== 'False')
    assert.doesNotMatch(await attested(), /UpstreamVerified/)
  })
})
