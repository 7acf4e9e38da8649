import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { probeCapture } from '#daemon/capture'
import { openWorld, until, uids, type Agent, type Daemon, type World } from './capture-world.ts'

const host = '10.99.0.2'
const identity = 2

describe('bounds of capture', () => {
  let world: World
  let daemon: Daemon
  let port: number
  let agent: Agent
  let neighbour: Agent
  let stranger: Agent

  before(async () => {
    world = await openWorld()
    port = world.cloudPort
    await world.attach({ openPerCgroup: 20 })
    daemon = await world.startDaemon()
    await daemon.order({
      rules: [uids.identified, uids.stranger, uids.unjudged].map((id) => ({ kind: 'uid', id })),
      destinations: [[identity, [{ port }, { port: 443 }]]],
      verdicts: { [uids.identified]: identity, [uids.stranger]: 'stranger' },
    })
    agent = await world.startAgent({ uid: uids.identified })
    neighbour = await world.startAgent({ uid: uids.identified, cgroup: 'neighbour' })
    stranger = await world.startAgent({ uid: uids.stranger })
    for (const workload of [agent, neighbour, stranger]) await workload.reach(host, port)
  })
  after(async () => {
    await world[Symbol.asyncDispose]()
  })

  it('refuse the flood of one cgroup, and its neighbours notice nothing', async () => {
    assert.deepEqual(await agent.do('flood', { host, port, count: 50 }), { ok: 20, ECONNREFUSED: 30 })
    assert.equal(world.status().counters.refusedFlood, 30)
    assert.equal(await neighbour.reach(host, port), `captured ${identity} ${host} ${port}`)
    assert.equal(await stranger.reach(host, port), 'direct')
    await agent.do('drop')
    await until(() => world.status().pendingRecords === 0, 'all records are gone')
    // A connection counts until the daemon, too, has closed its side.
    await until(async () => {
      const { ok } = await agent.do('flood', { host, port, count: 5 })
      await agent.do('drop')
      return ok === 5
    }, 'there is room again')
  })

  it('keep no count of connections that are over', async () => {
    for (let round = 0; round < 60; round++) {
      assert.equal(await agent.reach(host, port), `captured ${identity} ${host} ${port}`)
    }
  })

  it('count a connection once, whatever its socket is used for afterwards', async () => {
    const { port: elsewhere } = await stranger.do('listen', { host: '127.0.0.1', port: 0 })
    assert.deepEqual(await agent.do('flood', { host, port, count: 20 }), { ok: 20 })
    const { peer } = await agent.do('reuse', { host: '127.0.0.1', port: elsewhere })
    assert.equal(peer, `127.0.0.1 ${String(elsewhere)}`)
    assert.deepEqual(await agent.do('flood', { host, port, count: 3 }), { ok: 1, ECONNREFUSED: 2 })
    await agent.do('drop')
  })

  it('keep a record until it is taken, and none of a connection that is gone before', async () => {
    await until(() => world.status().pendingRecords === 0, 'records of earlier tests are taken')
    daemon.child.kill('SIGSTOP')
    try {
      assert.deepEqual(await agent.do('connect_only', { host, port, abort: true }), {})
      await until(() => world.status().pendingRecords === 0, 'the record of a closed connection goes')
      assert.deepEqual(await agent.do('connect_only', { host, port, abort: false }), {})
      assert.equal(world.status().pendingRecords, 1)
    } finally {
      daemon.child.kill('SIGCONT')
    }
    await until(() => world.status().pendingRecords === 0, 'the daemon goes on')
    await agent.do('drop')
    assert.deepEqual((await daemon.seen()).at(-1)!.connection.destination, { address: host, port })
  })

  describe('of the proxy port', () => {
    for (const [whom, uid, reuse] of [
      ['another user', uids.outsider, false],
      ['another user who shares ports', uids.outsider, true],
      ["the daemon's own user, who shares ports", uids.daemon, true],
    ] as const) {
      it(`keep it from ${whom}`, async () => {
        const thief = await world.startAgent({ uid })
        for (const address of ['127.0.0.1', '0.0.0.0', '::1', '::']) {
          const outcome = await thief.do('listen', { host: address, port: daemon.port, reuse })
          assert.equal(outcome.error, 'EADDRINUSE', address)
        }
        assert.equal(await agent.reach(host, port), `captured ${identity} ${host} ${port}`)
      })
    }

    it('keep it while no daemon has it', async () => {
      const thief = await world.startAgent({ uid: uids.outsider })
      const successor = await world.startDaemon()
      const { port: free } = successor
      await successor.end()
      assert.equal((await thief.do('listen', { host: '127.0.0.1', port: free })).error, 'EADDRINUSE')
      await daemon.order({ ipv6Usable: true })
      assert.deepEqual(await thief.do('listen', { host: '127.0.0.1', port: free }), { port: free })
    })

    it('let the workers of the daemon have it, who share its cgroup and user', async () => {
      const worker = await world.startAgent({ uid: uids.daemon, cgroup: 'daemon/worker' })
      const outcome = await worker.do('listen', { host: '127.0.0.1', port: daemon.port, reuse: true })
      assert.deepEqual(outcome, { port: daemon.port })
      await worker.end()
    })
  })

  it('refuse UDP 443 to identified processes and to nobody else', async () => {
    const unjudged = await world.startAgent({ uid: uids.unjudged })
    for (const address of [host, '2001:db8::7', `::ffff:${host}`]) {
      for (const connected of [false, true]) {
        const send = (who: Agent, to = 443) => who.do('datagram', { host: address, port: to, connected })
        assert.equal((await send(agent)).error, 'EACCES')
        assert.notEqual((await send(agent, 53)).error, 'EACCES')
        assert.notEqual((await send(stranger)).error, 'EACCES')
        assert.notEqual((await send(unjudged)).error, 'EACCES')
      }
    }
  })

  it('say at once that IPv6 is unreachable where it is, so that clients take IPv4', async () => {
    await daemon.order({ ipv6Usable: false })
    try {
      assert.equal(await agent.reach('2001:db8::7', port), 'ENETUNREACH')
      assert.equal(await agent.reach(`::ffff:${host}`, port), `captured ${identity} ${host} ${port}`)
      assert.equal(await agent.reach(host, port), `captured ${identity} ${host} ${port}`)
      assert.equal(await stranger.reach('2001:db8::7', port), 'direct')
    } finally {
      await daemon.order({ ipv6Usable: true })
    }
  })

  it('are counted', () => {
    const { counters } = world.status()
    for (const name of [
      'captured',
      'directStranger',
      'refusedBind',
      'refusedQuic',
      'refusedNoIpv6',
    ] as const) {
      assert.ok(counters[name] > 0, name)
    }
    assert.equal(counters.recordLost, 0)
  })
})

describe('the probe', () => {
  it('finds that this machine can capture, and leaves nothing behind', () => {
    assert.deepEqual(probeCapture(), { available: true })
  })
})
