import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { openAuthority } from './authority.ts'
import { bindAgent } from './agent.ts'
import { agentHost, agentPath } from './resources.ts'
import { openTrap, type Trap } from './trap.ts'
import type { Workload } from './workload.ts'
import { isUnsigned, openWorld, uids, type World } from './world.ts'

const evil = 'evil.example'

/** Design invariant 1: whatever an identified workload does, no credential reaches a listener of its own. */
describe('an identified workload that aims at a listener of its own', () => {
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

  const head = (lines: readonly string[]) => `${lines.join('\r\n')}\r\n\r\n`
  const post = (target: string, host: string) => [`POST ${target} HTTP/1.1`, `Host: ${host}`]

  async function say(id: string, text: string) {
    await workload.do('send', { id, text })
    return await workload.do('receive', { id })
  }

  const unknown = openAuthority('Nobody knows this authority')
  const shown = {
    'a certificate of an unknown authority': () => unknown.leafFor(agentHost),
    'a good certificate for another name': () => world.authority.leafFor(evil),
    'a good certificate for its address': () => world.authority.leafFor(trap.address),
    'an expired certificate': () => world.authority.leafFor(agentHost, { expired: true }),
  }
  for (const [what, make] of Object.entries(shown)) {
    it(`shows ${what} under the bound name: nothing is sent to it`, async () => {
      trap.show(make())
      const target = { host: agentHost, address: trap.address, path: agentPath('trapped', 0) }
      const outcome = await workload.do('request', target)
      assert.equal(outcome.status, 502, JSON.stringify(outcome))
      const { connections, text } = trap.take()
      assert.ok(connections > 0, 'the trap was reached')
      assert.equal(text, '')
    })
  }

  it('names it in a hosts file of its own: nothing is sent to it', async () => {
    trap.show(world.authority.leafFor(evil))
    const hosts = path.join(world.place.base, 'open', 'hosts')
    writeFileSync(hosts, `${trap.address} ${agentHost}\n`)
    const script = `mount --bind ${hosts} /etc/hosts && exec "$@"`
    const under = ['unshare', '--user', '--map-root-user', '--mount', 'sh', '-c', script, 'sh']
    await using misled = await world.startWorkload({ uid: uids.identified, under })
    const outcome = await misled.ask(agentHost, agentPath('trapped', 1))
    assert.equal(outcome.status, 502, JSON.stringify(outcome))
    assert.equal(trap.take().text, '')
  })

  it('under a name that is not bound, with the bound one in its requests: it gets what was written', async () => {
    trap.show(world.authority.leafFor(evil))
    await workload.do('connect', { id: 'evil', host: evil, address: trap.address })
    const written = head([...post(agentPath('trapped', 2), agentHost), 'Content-Length: 0'])
    assert.equal((await say('evil', written)).status, 200)
    assert.equal(trap.take().text, written)
  })

  const forged: Record<string, string> = {
    'another Host': head([...post('/forged', evil), 'Content-Length: 0']),
    'two Hosts': head([...post('/forged', agentHost), `Host: ${evil}`, 'Content-Length: 0']),
    'an absolute URI of another host': head([
      ...post(`https://${evil}/forged`, agentHost),
      'Content-Length: 0',
    ]),
    'an absolute URI of an address': head([
      ...post('https://203.0.113.66/forged', agentHost),
      'Content-Length: 0',
    ]),
    CONNECT: head([`CONNECT ${evil}:443 HTTP/1.1`, `Host: ${evil}:443`]),
    'two lengths': head([...post('/forged', agentHost), 'Content-Length: 0', 'Content-Length: 40']),
    'a length and chunks': `${head([
      ...post('/forged', agentHost),
      'Content-Length: 4',
      'Transfer-Encoding: chunked',
    ])}0\r\n\r\n${head([...post('/smuggled', evil), 'Content-Length: 0'])}`,
    'a hidden coding': head([...post('/forged', agentHost), 'Transfer-Encoding : chunked']),
    'a bare line feed': `POST /forged HTTP/1.1\nHost: ${agentHost}\n\n`,
  }
  for (const [what, text] of Object.entries(forged)) {
    it(`writes ${what} on a connection to the bound host: it is refused, and nobody hears of it`, async () => {
      await workload.do('connect', { id: 'forger', host: agentHost })
      const { status, error } = await say('forger', text)
      assert.ok(error === 'closed' || (status! >= 400 && status! < 500), `${status} ${error}`)
      await workload.do('close', { id: 'forger' })
      assert.deepEqual(trap.take(), { connections: 0, text: '' })
      assert.deepEqual([...world.seen('/forged'), ...world.seen('/smuggled')], [])
    })
  }

  it('hides a second request in the body of the first: the cloud sees one', async () => {
    await workload.do('connect', { id: 'smuggler', host: agentHost })
    const hidden = head([...post('/smuggled', evil), 'Content-Length: 0'])
    const lines = [...post(agentPath('outer', 0), agentHost), `Content-Length: ${hidden.length}`]
    await say('smuggler', head(lines) + hidden)
    assert.equal(world.seen('/outer/').length, 1)
    assert.deepEqual(world.seen('/smuggled'), [])
    assert.deepEqual(trap.take(), { connections: 0, text: '' })
  })

  it('writes a second request behind the first, for another host: the first is served, the second refused', async () => {
    await workload.do('connect', { id: 'pipeline', host: agentHost })
    const first = head([...post(agentPath('pipelined', 0), agentHost), 'Content-Length: 0'])
    const second = head([...post('/smuggled', evil), 'Content-Length: 0'])
    await say('pipeline', first + second)
    const refused = await workload.do('receive', { id: 'pipeline' })
    assert.ok(refused.status! >= 400 && refused.status! < 500, JSON.stringify(refused))
    assert.equal(world.seen('/pipelined/').length, 1)
    assert.deepEqual(world.seen('/smuggled'), [])
    assert.deepEqual(trap.take(), { connections: 0, text: '' })
  })

  it('is signed for when it is honest', async () => {
    const outcome = await workload.ask(agentHost, agentPath('honest', 0))
    assert.equal(outcome.status, 200)
    assert.deepEqual(world.seen('/honest/').map(isUnsigned), [false])
    assert.deepEqual(world.seen('/trapped/'), [])
  })
})
