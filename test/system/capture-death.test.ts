import assert from 'node:assert/strict'
import { existsSync, rmdirSync } from 'node:fs'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { isFault } from '#base/errors'
import { allocateMemory, syscall } from '#base/syscall'
import { captureStatus, releaseCapture } from '#daemon/capture'
import { openWorld, until, uids, type Agent, type Daemon, type World } from './capture-world.ts'

const host = '10.99.0.2'
const identity = 3

/** Design invariant 4. */
describe('a daemon that does not live', () => {
  let world: World
  let daemon: Daemon
  let port: number
  let agents: Record<'identified' | 'unjudged' | 'stranger' | 'outsider' | 'foreign', Agent>

  beforeEach(async () => {
    world = await openWorld()
    port = world.cloudPort
    await world.attach()
    daemon = await world.startDaemon()
    await daemon.order({
      rules: [uids.identified, uids.stranger, uids.unjudged].map((id) => ({ kind: 'uid', id })),
      destinations: [[identity, [{ port }]]],
      verdicts: { [uids.identified]: identity, [uids.stranger]: 'stranger' },
    })
    const start = (uid: number, otherNetwork = false) => world.startAgent({ uid, otherNetwork })
    agents = {
      identified: await start(uids.identified),
      unjudged: await start(uids.unjudged),
      stranger: await start(uids.stranger),
      outsider: await start(uids.outsider),
      foreign: await start(uids.identified, true),
    }
    await agents.foreign.do('listen', { host: '0.0.0.0', port, answer: 'direct' })
    await agents.identified.reach(host, port)
    await agents.stranger.reach(host, port)
    assert.equal(await agents.identified.reach(host, port), `captured ${identity} ${host} ${port}`)
    assert.equal(await agents.foreign.reach(host, port), 'direct')
  })
  afterEach(async () => {
    await world[Symbol.asyncDispose]()
  })

  async function expectFailClosed(): Promise<void> {
    const outcomes: Record<string, string> = {}
    for (const [name, agent] of Object.entries(agents)) outcomes[name] = await agent.reach(host, port)
    assert.deepEqual(outcomes, {
      identified: 'ECONNREFUSED',
      unjudged: 'ECONNREFUSED',
      stranger: 'direct',
      outsider: 'direct',
      foreign: 'direct',
    })
  }

  it('leaves other network namespaces alone also while it lives, and counts them', async () => {
    const before = world.status().counters.foreignNetns
    assert.equal(await agents.foreign.reach(host, port), 'direct')
    assert.equal(world.status().counters.foreignNetns, before + 1)
  })

  it('killed: refuses who is captured, at once; everyone else keeps the network', async () => {
    await daemon.end('SIGKILL')
    assert.equal(await agents.identified.reach(host, port), 'ECONNREFUSED')
    assert.equal(await agents.stranger.reach(host, port), 'direct')
    await until(() => !world.status().alive, 'the heartbeat is too old')
    await expectFailClosed()
    assert.ok(world.status().counters.refusedDead >= 2)
  })

  it('hung: the same after two seconds, and all is well when it goes on', async () => {
    daemon.child.kill('SIGSTOP')
    await until(() => !world.status().alive, 'the heartbeat is too old')
    await expectFailClosed()
    daemon.child.kill('SIGCONT')
    await until(() => world.status().alive, 'the heartbeat is fresh')
    assert.equal(await agents.identified.reach(host, port), `captured ${identity} ${host} ${port}`)
  })

  it('stopped in order: refuses without waiting', async () => {
    await daemon.order({ stopHeartbeat: true })
    await expectFailClosed()
  })

  describe('is followed by the next one', () => {
    it('which is refused while another lives', async () => {
      await assert.rejects(world.attach(), (error) => isFault(error, 'CAPTURE_BUSY'))
      assert.equal(await agents.identified.reach(host, port), `captured ${identity} ${host} ${port}`)
    })

    it('whose programs replace the old ones in place: nobody gets by, nobody is cut off', async () => {
      await daemon.order({ stopHeartbeat: true })
      await daemon.end('SIGTERM')
      const programs = world.status().links.map(({ programId }) => programId)
      await agents.identified.do('hammer', { host, port })
      await agents.stranger.do('hammer', { host, port })
      for (let round = 0; round < 5; round++) {
        assert.deepEqual(await world.attach(), { upgraded: true })
        assert.equal(await agents.outsider.reach(host, port), 'direct')
      }
      const refused = await agents.identified.do('hammer_stop')
      const passed = await agents.stranger.do('hammer_stop')
      assert.deepEqual(Object.keys(refused), ['ECONNREFUSED'])
      assert.deepEqual(Object.keys(passed), ['direct'])
      assert.ok(Number(refused.ECONNREFUSED) > 0 && Number(passed.direct) > 0)
      const { links, missing } = world.status()
      assert.deepEqual(missing, [])
      assert.ok(links.every(({ programId }) => !programs.includes(programId)))

      const successor = await world.startDaemon()
      await successor.order({
        rules: [{ kind: 'uid', id: uids.identified }],
        destinations: [[identity, [{ port }]]],
        verdicts: { [uids.identified]: identity },
      })
      assert.equal(await agents.identified.reach(host, port), `captured 0 ${host} ${port}`)
      assert.equal(await agents.identified.reach(host, port), `captured ${identity} ${host} ${port}`)
    })

    it('which does not inherit what the numbers of identities meant', async () => {
      await daemon.order({ stopHeartbeat: true })
      await daemon.end('SIGTERM')
      await world.attach()
      const successor = await world.startDaemon()
      await successor.order({ rules: [], destinations: [[identity, [{ port }]]] })
      assert.equal(await agents.identified.reach(host, port), 'direct')
    })
  })

  it('releases everything: no program, pin, mount or hold on a cgroup stays', async () => {
    const ids = world.status().links.map(({ linkId }) => linkId)
    await daemon.end('SIGKILL')
    releaseCapture(world.pinDirectory)
    assert.equal(existsSync(world.pinDirectory), false)
    assert.deepEqual(captureStatus(world.pinDirectory), { attached: false })
    const BPF_LINK_GET_FD_BY_ID = 30
    const ENOENT = 2
    const { address, bytes } = allocateMemory(16)
    const isGone = (id: number) => {
      bytes.writeUInt32LE(id, 0)
      return syscall('bpf', BPF_LINK_GET_FD_BY_ID, address, 12) === -ENOENT
    }
    await until(() => ids.every(isGone), 'all links are gone')
    assert.equal(await agents.identified.reach(host, port), 'direct')
    await agents.foreign.end()
    rmdirSync(world.cgroup('spare'))
    releaseCapture(world.pinDirectory)
  })
})

describe('attaching', () => {
  it('is refused for the root cgroup unless it is named, and for a place that the daemon contains', async () => {
    await using world = await openWorld()
    const { attachCapture, cgroupMount } = await import('#daemon/capture')
    const { systemClock } = await import('#base/clock')
    const attach = (attachCgroup: string, daemonCgroup: string) =>
      attachCapture({
        attachCgroup,
        daemonCgroup,
        pinDirectory: world.pinDirectory,
        owner: { uid: uids.daemon, gid: uids.daemon },
        clock: systemClock,
      })
    const invalid = (error: unknown) => isFault(error, 'SETTING_INVALID')
    await assert.rejects(attach(cgroupMount(), world.cgroup('daemon')), invalid)
    await assert.rejects(attach(world.host, world.host), invalid)
    await assert.rejects(attach(world.cgroup('work'), world.host), invalid)
    await assert.rejects(attach('/tmp', world.cgroup('daemon')), invalid)
    await world.attach()
    await assert.rejects(attach(world.cgroup('work'), world.cgroup('daemon')), invalid)
  })
})
