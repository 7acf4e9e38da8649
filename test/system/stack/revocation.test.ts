import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { parse } from 'yaml'
import { agentHost, agentPath, binding, identity, service, source } from './resources.ts'
import type { FlowAnswer, Workload } from './workload.ts'
import { isUnsigned, openWorld, python, uids, until, type World } from './world.ts'

const rounds = 20
const revokedWithin = 1
const first = binding('first', { from: 'firsts', to: 'runtime' })

/** Design invariant 6: a binding that is deleted is gone within a second. */
describe('two identities, each with its binding', () => {
  let world: World
  let workload: Workload
  let neighbour: Workload

  before(async () => {
    world = await openWorld()
    await world.createRole('firsts', 'first')
    await world.createRole('seconds', 'second')
    await world.apply(
      identity('first', { 'process:uid': uids.identified, 'process:binary:path': python }),
      identity('second', { 'process:uid': uids.other, 'process:binary:path': python }),
      service('runtime', agentHost),
      source('firsts'),
      source('seconds'),
      first,
      binding('second', { from: 'seconds', to: 'runtime' }),
    )
    await world.untilBound('first', 'second')
    workload = await world.startWorkload({ uid: uids.identified })
    neighbour = await world.startWorkload({ uid: uids.other })
  })
  after(() => world[Symbol.asyncDispose]())

  /** CLOCK_MONOTONIC, as the workloads see it. */
  const seconds = () => Number(process.hrtime.bigint()) / 1e9
  const failures = (answers: readonly FlowAnswer[] = []) => answers.filter(({ outcome }) => outcome !== 200)
  const rolesOf = (caller: string) =>
    new Set(world.seen(`/${caller}/`).map(({ principal }) => principal?.split('/')[1]))

  async function bind(): Promise<void> {
    await world.api.apply(parse(first))
    await world.untilBound('first')
  }

  it('each is signed for with its own credential', async () => {
    assert.equal((await workload.ask(agentHost, agentPath('alone', 0))).status, 200)
    assert.equal((await neighbour.ask(agentHost, agentPath('neighbour', 0))).status, 200)
    assert.deepEqual([...rolesOf('alone')], ['firsts'])
    assert.deepEqual([...rolesOf('neighbour')], ['seconds'])
  })

  it(`revokes ${rounds} times within a second, and the other one never notices`, async () => {
    await neighbour.do('start_flow', { host: agentHost, path: agentPath('undisturbed') })
    const took: number[] = []
    for (let round = 0; round < rounds; round++) {
      await workload.do('connect', { id: 'open', host: agentHost })
      const before = await workload.ask(agentHost, agentPath(`bound-${round}`, 0), 'open')
      assert.equal(before.status, 200, JSON.stringify(before))

      const ended = workload.do('await_end', { id: 'open' })
      const deletedAt = seconds()
      await world.api.delete('CredentialBinding', 'first')
      const { at, error } = await ended
      assert.equal(error, undefined, 'the open connection was cut')
      const next = await workload.ask(agentHost, agentPath(`revoked-${round}`, 0))
      assert.equal(next.status, 403, JSON.stringify(next))
      took.push(at! - deletedAt)
      await workload.do('close', { id: 'open' })
      await bind()
    }
    assert.deepEqual(
      world.seen('/revoked-').filter((request) => !isUnsigned(request)),
      [],
    )
    assert.ok(Math.max(...took) < revokedWithin, `seconds from the call to the cut: ${took.join(' ')}`)
    const { answers } = await neighbour.do('stop_flow')
    assert.deepEqual(failures(answers), [])
    assert.ok(answers!.length > rounds)
    assert.deepEqual([...rolesOf('undisturbed')], ['seconds'])
  })

  it('cuts a request in the middle, which never reaches the cloud whole', async () => {
    await workload.do('connect', { id: 'half', host: agentHost })
    const head = [`POST ${agentPath('half', 0)} HTTP/1.1`, `Host: ${agentHost}`, 'Content-Length: 10']
    await workload.do('send', { id: 'half', text: `${head.join('\r\n')}\r\n\r\n12345` })
    const ended = workload.do('await_end', { id: 'half' })
    const deletedAt = seconds()
    await world.api.delete('CredentialBinding', 'first')
    const { at } = await ended
    assert.ok(at! - deletedAt < revokedWithin, `${at! - deletedAt} s`)
    assert.deepEqual(world.seen('/half/'), [])
    await bind()
  })

  it('kills a worker that hangs instead of obeying, and the revocation still holds in time', async () => {
    await workload.do('connect', { id: 'open', host: agentHost })
    assert.equal((await workload.ask(agentHost, agentPath('obeyed', 0), 'open')).status, 200)
    const { workers } = world.daemonChildren()
    const ended = workload.do('await_end', { id: 'open' })
    for (const pid of workers) process.kill(pid, 'SIGSTOP')
    const deletedAt = seconds()
    await world.api.delete('CredentialBinding', 'first')
    const { at, error } = await ended
    assert.equal(error, undefined, 'the open connection was cut')
    assert.ok(at! - deletedAt < revokedWithin, `${at! - deletedAt} s`)
    await until('nobody signs for it', async () => {
      const { status } = await workload.ask(agentHost, agentPath('disobeyed', 0))
      assert.notEqual(status, 200)
      return status === 403
    })
    assert.ok(!world.daemonChildren().workers.some((pid) => workers.includes(pid)), 'all are new')
    // Granted again means served again: no request after the acknowledgement meets a daemon without workers.
    await bind()
    assert.equal((await workload.ask(agentHost, agentPath('granted', 0))).status, 200)
  })

  it('replaces a credential under load without one failure', async () => {
    await workload.do('start_flow', { host: agentHost, path: agentPath('rotated') })
    await neighbour.do('start_flow', { host: agentHost, path: agentPath('unrotated') })
    const keys = () => new Set(world.seen('/rotated/').map(({ accessKeyId }) => accessKeyId))
    for (let round = 1; round <= 3; round++) {
      await until('a request with the latest key', () => keys().size === round)
      const { code, stderr } = await world.cli(['ctl', 'rotate', 'credentialbinding/first'])
      assert.equal(code, 0, stderr)
    }
    await until('a request with the last key', () => keys().size === 4)
    for (const one of [workload, neighbour]) {
      const { answers } = await one.do('stop_flow')
      assert.ok(answers!.length > 10)
      assert.deepEqual(failures(answers), [])
    }
  })

  it('stops at once when the Daemon object is deleted', async () => {
    await workload.do('connect', { id: 'open', host: agentHost })
    assert.equal((await workload.ask(agentHost, agentPath('alive', 0), 'open')).status, 200)
    const ended = workload.do('await_end', { id: 'open' })
    const [daemon] = (await world.api.list('Daemon')).items
    const deletedAt = seconds()
    await world.api.delete('Daemon', daemon!.metadata.name)
    const { at, error } = await ended
    assert.equal(error, undefined, 'the open connection was cut')
    assert.ok(at! - deletedAt < revokedWithin, `${at! - deletedAt} s`)
    const next = await workload.ask(agentHost, agentPath('deleted', 0))
    assert.notEqual(next.status, 200)
    assert.deepEqual(
      world.seen('/deleted/').filter((request) => !isUnsigned(request)),
      [],
    )
  })
})
