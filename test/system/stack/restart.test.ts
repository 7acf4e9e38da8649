import assert from 'node:assert/strict'
import { closeSync, existsSync, readFileSync, readdirSync } from 'node:fs'
import { after, before, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { allocateMemory, syscall } from '#base/syscall'
import { captureStatus } from '#daemon/capture'
import type { AuditRecord } from '#model/audit'
import { bindAgent } from './agent.ts'
import { agentHost, agentPath } from './resources.ts'
import { processesBelow } from './secrets.ts'
import type { Outcome, Workload } from './workload.ts'
import { isUnsigned, openWorld, python, uids, until, type World } from './world.ts'

const capturePort = 15_443
const kills = 3

const isLinkThere = (id: number): boolean => {
  const BPF_LINK_GET_FD_BY_ID = 30
  const ENOENT = 2
  const { address, bytes } = allocateMemory(16)
  bytes.writeUInt32LE(id, 0)
  const fd = syscall('bpf', BPF_LINK_GET_FD_BY_ID, address, 12)
  if (fd >= 0) closeSync(fd) // an open descriptor would keep it there
  return fd !== -ENOENT
}

/** What stays true when the daemon ends, comes back, or goes for good. */
describe('a daemon that comes and goes', () => {
  let world: World
  let workload: Workload
  let stranger: Workload

  before(async () => {
    world = await openWorld()
    await bindAgent(world)
    workload = await world.startWorkload({ uid: uids.identified })
    stranger = await world.startWorkload({ uid: uids.stranger })
    await expectStrangerServed()
  })
  after(async () => {
    const { base, host } = world.place
    await world[Symbol.asyncDispose]()
    assert.deepEqual([base, host].filter(existsSync), [], 'nothing of the stack is left')
  })

  const asked = (name: string) => workload.ask(agentHost, agentPath(name, 0))
  /** Of those who run the same program only who was judged is known as a stranger while there is no daemon. */
  async function expectStrangerServed(): Promise<void> {
    assert.equal((await stranger.ask(agentHost, agentPath('stranger', 0))).status, 403)
  }
  function expectRefused({ status, error }: Outcome): void {
    assert.ok(error !== undefined || status === 503, `${status}`)
  }
  const signedPaths = (part: string) =>
    world
      .seen(part)
      .filter((request) => !isUnsigned(request))
      .map(({ path }) => path)
      .sort()
  const startedPaths = (records: readonly AuditRecord[], part: string) =>
    records
      .flatMap((record) =>
        record.type === 'request.start' && record.decision === 'injected' ? [record.path] : [],
      )
      .filter((path) => path.includes(part))
      .sort()

  it('has a start record for each request that the cloud saw signed, and no other', async () => {
    await workload.do('start_flow', { host: agentHost, path: agentPath('counted') })
    await until('signed requests', () => signedPaths('/counted/').length > 100)
    const { answers } = await workload.do('stop_flow')
    const signed = signedPaths('/counted/')
    assert.equal(signed.length, answers!.length)
    await until('as many start records', async () => {
      return startedPaths(await world.audit(), '/counted/').length >= signed.length
    })
    const records = await world.audit()
    assert.deepEqual(startedPaths(records, '/counted/'), signed)
    const started = records.find((record) => record.type === 'request.start' && record.path === signed[0])
    assert.partialDeepStrictEqual(started, {
      identity: 'agent',
      pid: workload.pid,
      uid: uids.identified,
      executable: python,
      host: agentHost,
      port: 443,
      method: 'POST',
      binding: 'agent',
      credentialSource: 'agents',
    })
  })

  it(`killed ${kills} times under load: no request was seen without its start record, none unsigned`, async () => {
    await workload.do('start_flow', { host: agentHost, path: agentPath('stormy') })
    for (let round = 0; round < kills; round++) {
      const before = signedPaths('/stormy/').length
      await until('signed requests', () => signedPaths('/stormy/').length > before + 10)
      await world.daemon.end('SIGKILL')
      await world.startDaemon()
    }
    const before = signedPaths('/stormy/').length
    await until('signed requests again', () => signedPaths('/stormy/').length > before)
    await workload.do('stop_flow')
    const signed = signedPaths('/stormy/')
    assert.equal(world.seen('/stormy/').length, signed.length, 'none was unsigned')
    await until('all records', async () => {
      const started = new Set(startedPaths(await world.audit(), '/stormy/'))
      return signed.every((path) => started.has(path))
    })
  })

  it('leaves its port to nobody, alive or dead', async () => {
    const at = { address: '127.0.0.1', port: capturePort }
    const thieves = [
      await world.startWorkload({ uid: uids.daemon }),
      await world.startWorkload({ uid: uids.other }),
      await world.startWorkload({ uid: 0 }),
    ]
    const expectNothingStolen = async () => {
      for (const thief of thieves) {
        for (const address of [at.address, '0.0.0.0', '::1', '::']) {
          const outcome = await thief.do('steal', { ...at, address })
          assert.match(String(outcome.detail), /in use/, `${address}: ${JSON.stringify(outcome)}`)
        }
      }
    }
    await expectNothingStolen()
    assert.equal((await asked('unrobbed')).status, 200)
    await expectStrangerServed()
    await world.daemon.end('SIGKILL')
    await expectNothingStolen()
    expectRefused(await asked('robbed'))
    for (const thief of thieves) assert.equal((await thief.do('stolen')).connections, 0)
    await expectStrangerServed()
    await world.startDaemon()
    await until('a signed request', async () => (await asked('unrobbed')).status === 200)
    for (const thief of thieves) assert.equal((await thief.do('stolen')).connections, 0)
  })

  it('stopped in order and started again: refused in between, never let by', async () => {
    await expectStrangerServed()
    await workload.do('start_flow', { host: agentHost, path: agentPath('between') })
    await until('signed requests', () => signedPaths('/between/').length > 5)
    await world.daemon.end('SIGTERM')
    await delay(500)
    await expectStrangerServed()
    const before = signedPaths('/between/').length
    await world.startDaemon()
    await until('signed requests again', () => signedPaths('/between/').length > before + 5)
    await workload.do('stop_flow')
    assert.deepEqual(world.seen('/between/').filter(isUnsigned), [])
  })

  it('stopped and released: everyone connects directly, and nothing is left in the kernel', async () => {
    const pinDirectory = `${world.layout.run}-bpf`
    const status = captureStatus(pinDirectory)
    assert.ok(status.attached)
    const links = status.links.map(({ linkId }) => linkId)
    assert.ok(links.length > 0 && links.every(isLinkThere))
    await world.daemon.end('SIGTERM')
    assert.deepEqual(
      processesBelow(`${world.place.host}/tideway-daemon`),
      [],
      'no process of the daemon is left',
    )
    expectRefused(await asked('unreleased'))
    const { code, stderr } = await world.cli(['capture', 'release', `--run-dir=${world.layout.run}`])
    assert.equal(code, 0, stderr)
    assert.equal((await asked('released')).status, 403)
    assert.deepEqual(world.seen('/released/').map(isUnsigned), [true])
    await until('the links have gone', () => !links.some(isLinkThere))
    assert.equal(existsSync(pinDirectory), false)
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n')
    assert.deepEqual(
      mounts.filter((line) => line.includes(world.layout.run)),
      [],
    )
    assert.deepEqual(
      readdirSync(world.layout.run).filter((name) => name.endsWith('.sock')),
      [],
    )

    await world.startDaemon()
    await until('a signed request', async () => (await asked('attached')).status === 200)
  })
})
