import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { after, before, beforeEach, describe, it } from 'node:test'
import { cgroupAt, kernelFileId, processPinOf, type CandidateRule } from '#daemon/capture'
import type { Orders, Seen } from './capture-daemon.ts'
import { openWorld, uids, type Agent, type Daemon, type World } from './capture-world.ts'

const ipv4 = '10.99.0.2'
const ipv6 = '2001:db8::7'
const identity = 7

describe('capture of connections', () => {
  let world: World
  let daemon: Daemon
  let port: number

  before(async () => {
    world = await openWorld()
    port = world.cloudPort
    await world.attach()
    daemon = await world.startDaemon()
  })
  after(async () => {
    await world[Symbol.asyncDispose]()
  })

  const policy = (): Orders => ({
    rules: [uids.identified, uids.stranger, uids.unjudged, 0].map((id) => ({ kind: 'uid', id })),
    destinations: [[identity, [{ port }, { port: 443 }]]],
    verdicts: { [uids.identified]: identity, [uids.stranger]: 'stranger' },
  })
  beforeEach(async () => {
    await daemon.order(policy())
    await daemon.seen()
  })

  async function judged(uid: number = uids.identified): Promise<Agent> {
    const agent = await world.startAgent({ uid })
    assert.equal(await agent.reach(ipv4, port), `captured 0 ${ipv4} ${port}`)
    await daemon.seen()
    return agent
  }

  describe('redirects', () => {
    let agent: Agent
    before(async () => {
      await daemon.order(policy())
      agent = await judged()
    })
    beforeEach(async () => {
      await agent.reach(ipv4, port) // judged again, after the policy was set anew
      await daemon.seen()
    })

    for (const [what, host, mode, shown] of [
      ['IPv4', ipv4, 'plain', ipv4],
      ['IPv6', ipv6, 'plain', ipv6],
      ['IPv4 on an IPv6 socket', `::ffff:${ipv4}`, 'plain', ipv4],
      ['non-blocking sockets', ipv4, 'nonblocking', ipv4],
      ['threads', ipv4, 'thread', ipv4],
      ['TCP fast open', ipv4, 'fastopen', ipv4],
    ] as const) {
      it(`${what}, and the program still sees the peer that it asked for`, async () => {
        const outcome = await agent.do('connect', { host, port, mode })
        assert.equal(outcome.text, `captured ${identity} ${shown} ${port}`)
        assert.equal(outcome.peer, `${host} ${port}`)
      })
    }

    it('no socket that is bound to a device: over it nobody reaches the daemon', async () => {
      execFileSync('ip', ['link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'up1'])
      const { captured, directOther } = world.status().counters
      assert.equal(await agent.reach(ipv4, port, 'up0'), 'ENETUNREACH')
      const now = world.status().counters
      assert.deepEqual([now.captured, now.directOther], [captured, directOther + 1])
      assert.equal(await agent.reach(ipv4, port, 'lo'), `captured ${identity} ${ipv4} ${port}`)
    })

    it('only the ports of its Services', async () => {
      assert.equal(await agent.reach(ipv4, port === 1025 ? 1026 : 1025), 'ECONNREFUSED')
      assert.equal((await daemon.seen()).length, 0)
    })

    it('loopback only where a Service lists that very address and port', async () => {
      assert.equal(await agent.reach('127.0.0.1', port), 'direct')
      assert.equal(await agent.reach('::1', port), 'direct')
      await daemon.order({
        ...policy(),
        destinations: [[identity, [{ port, loopbackAddress: '127.0.0.2' }]]],
      })
      assert.equal(await agent.reach('127.0.0.2', port), `captured 0 127.0.0.2 ${port}`)
      assert.equal(await agent.reach('127.0.0.1', port), 'direct')
      assert.equal(await agent.reach(ipv4, port), 'direct')
    })
  })

  it('names the process by what the kernel knows, equal to what /proc shows', async () => {
    const agent = await world.startAgent({ uid: uids.identified })
    await agent.reach(ipv4, port)
    const [{ connection }] = (await daemon.seen()) as [Seen]
    const { image, effectiveUid, effectiveGid, ...pin } = connection.process
    assert.deepEqual(pin, processPinOf(agent.pid))
    assert.deepEqual([effectiveUid, effectiveGid], [uids.identified, uids.identified])
    assert.ok(image > 0n)
    assert.equal(connection.level, 'process')
    assert.deepEqual(connection.destination, { address: ipv4, port })
  })

  it('gives each record once', async () => {
    const agent = await judged()
    await agent.reach(ipv4, port)
    assert.deepEqual(
      (await daemon.seen()).map(({ takenTwice }) => takenTwice),
      [false],
    )
    assert.equal(world.status().pendingRecords, 0)
  })

  it('resets who reaches the proxy port without a record', async () => {
    const outsider = await world.startAgent({ uid: uids.outsider })
    const before = daemon.missing()
    assert.match(await outsider.reach('127.0.0.1', daemon.port), /ECONNRESET|ENOTCONN/)
    await daemon.order({})
    assert.equal(daemon.missing(), before + 1)
  })

  it('never sees who is no candidate, and a stranger only once', async () => {
    const outsider = await world.startAgent({ uid: uids.outsider })
    assert.equal(await outsider.reach(ipv4, port), 'direct')
    assert.equal((await daemon.seen()).length, 0)

    const stranger = await judged(uids.stranger)
    assert.equal(await stranger.reach(ipv4, port), 'direct')
    assert.equal(await stranger.reach(ipv6, port), 'direct')
    assert.equal((await daemon.seen()).length, 0)
  })

  it('asks again about a candidate until there is a verdict', async () => {
    const agent = await world.startAgent({ uid: uids.unjudged })
    for (let round = 0; round < 3; round++) {
      assert.equal(await agent.reach(ipv4, port), `captured 0 ${ipv4} ${port}`)
    }
  })

  describe('verdicts', () => {
    it('are inherited by fork', async () => {
      const agent = await judged()
      const child = await agent.do('fork_connect', { host: ipv4, port })
      assert.equal(child.text, `captured ${identity} ${ipv4} ${port}`)
      const stranger = await judged(uids.stranger)
      assert.equal((await stranger.do('fork_connect', { host: ipv4, port })).text, 'direct')
    })

    it('end with execve, also of the same program', async () => {
      const agent = await judged()
      await agent.reach(ipv4, port)
      const [before] = await daemon.seen()
      assert.ok(await daemon.order({ holds: uids.identified }))
      await agent.do('execute')
      assert.equal(await daemon.order({ holds: uids.identified }), false)
      assert.equal(await agent.reach(ipv4, port), `captured 0 ${ipv4} ${port}`)
      const [after] = await daemon.seen()
      assert.equal(after!.connection.process.pid, before!.connection.process.pid)
      assert.equal(after!.connection.process.exeInode, before!.connection.process.exeInode)
      assert.notEqual(after!.connection.process.image, before!.connection.process.image)
    })

    for (const [what, change, realUid] of [
      ['the user', { uid: uids.unjudged }, uids.unjudged],
      ['the effective user', { effective_uid: uids.unjudged }, 0],
    ] as const) {
      it(`end with a change of ${what}, also on connections that are open`, async () => {
        await daemon.order({ ...policy(), verdicts: { 0: identity } })
        const agent = await judged(0)
        assert.equal(await agent.reach(ipv4, port), `captured ${identity} ${ipv4} ${port}`)
        await daemon.seen()
        assert.ok(await daemon.order({ holds: 0 }))
        await agent.do('become', change)
        assert.equal(world.status().inspects && (await daemon.order({ holds: 0 })), false)
        assert.equal(await agent.reach(ipv4, port), `captured 0 ${ipv4} ${port}`)
        assert.equal((await daemon.seen())[0]!.connection.process.uid, realUid)
        await agent.end()
      })
    }

    it('end with a move to another cgroup', async () => {
      await daemon.order({ ...policy(), verdicts: { 0: identity } })
      const agent = await judged(0)
      await agent.do('become', { cgroup: world.cgroup('elsewhere') })
      assert.equal(await agent.reach(ipv4, port), `captured 0 ${ipv4} ${port}`)
      assert.equal(
        (await daemon.seen())[0]!.connection.process.cgroupId,
        cgroupAt(world.cgroup('elsewhere')).id,
      )
    })

    it('end with the policy they were given under', async () => {
      const agent = await judged()
      assert.equal(await agent.reach(ipv4, port), `captured ${identity} ${ipv4} ${port}`)
      await daemon.order(policy())
      assert.equal(await agent.reach(ipv4, port), `captured 0 ${ipv4} ${port}`)
    })

    it('end with the process', async () => {
      const agent = await judged()
      const entries = world.status().verdicts
      assert.ok(await daemon.order({ holds: uids.identified }))
      await agent.end()
      assert.equal(await daemon.order({ holds: uids.identified }), false)
      assert.equal(world.status().verdicts, entries - 1)
    })
  })

  describe('candidates', () => {
    const python = kernelFileId('/usr/bin/python3')!
    const elsewhere = kernelFileId('/bin/sh')!
    const uid = uids.unjudged
    const cases: [string, () => CandidateRule, () => CandidateRule][] = [
      [
        'executable',
        () => ({ kind: 'executable', ...python }),
        () => ({ kind: 'executable', device: python.device, inode: elsewhere.inode }),
      ],
      [
        'executable and uid together',
        () => ({ kind: 'executable-and-uid', ...python, uid }),
        () => ({ kind: 'executable-and-uid', ...python, uid: uid + 100 }),
      ],
      ['uid', () => ({ kind: 'uid', id: uid }), () => ({ kind: 'uid', id: uid + 100 })],
      ['gid', () => ({ kind: 'gid', id: uid }), () => ({ kind: 'gid', id: uid + 100 })],
      [
        'name',
        () => ({ kind: 'name', name: 'a-long-name-cut-short' }),
        () => ({ kind: 'name', name: 'other' }),
      ],
      [
        'cgroup, with those below it',
        () => ({ kind: 'cgroup', ...cgroupAt(world.cgroup('unit')) }),
        () => ({ kind: 'cgroup', ...cgroupAt(world.cgroup('work')) }),
      ],
    ]
    for (const [what, matching, other] of cases) {
      it(`are told by ${what}`, async () => {
        world.cgroup('unit')
        const agent = await world.startAgent({ uid, cgroup: 'unit/nested' })
        // The name is the process's: a thread of another name is still a candidate.
        await agent.do('become', { name: 'a-long-name-cut-short' })
        await daemon.order({ ...policy(), rules: [other()] })
        assert.equal(await agent.reach(ipv4, port), 'direct')
        await daemon.order({ ...policy(), rules: [other(), matching()] })
        assert.equal(await agent.reach(ipv4, port), `captured 0 ${ipv4} ${port}`)
        assert.equal(await agent.reach(ipv4, port, 'thread'), `captured 0 ${ipv4} ${port}`)
        await agent.end()
      })
    }

    it('are all processes with captureAll', async () => {
      const agent = await world.startAgent({ uid: uids.outsider })
      await daemon.order({ ...policy(), captureAll: true })
      assert.equal(await agent.reach(ipv4, port), `captured 0 ${ipv4} ${port}`)
      await daemon.order(policy())
      assert.equal(await agent.reach(ipv4, port), 'direct')
    })
  })

  it('exempts the processes of the daemon, by cgroup and not by user', async () => {
    const worker = await world.startAgent({ uid: uids.identified, cgroup: 'daemon/worker' })
    assert.equal(await worker.reach(ipv4, port), 'direct')
  })
})
