import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { agentHost, agentPath, binding, identity, service, source } from './resources.ts'
import type { Workload } from './workload.ts'
import { isUnsigned, openWorld, python, uids, until, type World, type WorkloadOptions } from './world.ts'

const { identified, stranger, other } = uids

/** Design invariant 2: who is not the process that a selector describes does not become it. */
describe('somebody who poses as an identified process', () => {
  let world: World
  /** The program of the identity by path, and that of the identity by hash. */
  let agent: string
  let hashed: string
  let attic: string
  let round = 0

  before(async () => {
    world = await openWorld()
    const folder = (name: string) => {
      const made = path.join(world.place.base, name)
      mkdirSync(made, { mode: 0o755 })
      return made
    }
    const install = (file: string, content: Buffer) => {
      writeFileSync(file, content)
      chmodSync(file, 0o755)
      return file
    }
    const interpreter = readFileSync(python)
    const bin = folder('bin')
    attic = folder('attic')
    agent = install(path.join(bin, 'agent'), interpreter)
    install(path.join(attic, 'agent'), interpreter)
    const own = Buffer.concat([interpreter, Buffer.from('our own build')])
    hashed = install(path.join(bin, 'hashed'), own)
    install(path.join(attic, 'hashed'), Buffer.concat([interpreter, Buffer.from('their own build')]))
    await world.createRole('agents', 'agent')
    await world.createRole('admins', 'admin')
    await world.createRole('builds', 'build')
    const byPath = { 'process:uid': identified, 'process:binary:path': agent }
    const hash = createHash('sha256').update(own).digest('hex')
    await world.apply(
      identity('agent', byPath),
      identity(
        'admin',
        { ...byPath, 'process:env:ROLE': 'admin' },
        { ...byPath, 'process:cmdline': 'admin' },
      ),
      identity('build', { 'process:uid': other, 'process:binary:hash': `sha256:${hash}` }),
      service('runtime', agentHost),
      ...['agents', 'admins', 'builds'].map((name) => source(name)),
      ...[
        ['agent', 'agents'],
        ['admin', 'admins'],
        ['build', 'builds'],
      ].map(([name, from]) => binding(name!, { from: from!, to: 'runtime' })),
    )
    await world.untilBound('agent', 'admin', 'build')
  })
  after(() => world[Symbol.asyncDispose]())

  /** Asks once and says as whom the cloud took it; undefined when it was refused or unsigned. */
  async function takenFor(workload: Workload, id?: string): Promise<string | undefined> {
    const name = `round-${round++}`
    const outcome = await workload.ask(agentHost, agentPath(name, 0), id)
    const requests = world.seen(`/${name}/`)
    assert.ok(outcome.status === 200 || outcome.status === 403, JSON.stringify(outcome))
    if (outcome.status === 200) assert.equal(requests.filter((seen) => !isUnsigned(seen)).length, 1)
    return requests.find((seen) => !isUnsigned(seen))?.principal?.split('/')[1]
  }
  const start = (options: WorkloadOptions) => world.startWorkload(options)
  async function startedIs(options: WorkloadOptions, role: string | undefined): Promise<void> {
    await using workload = await start(options)
    assert.equal(await takenFor(workload), role)
    assert.equal(await takenFor(workload), role, 'and once more, now that it is known')
  }
  const enclosed = (script: string, ...options: readonly string[]) => [
    'unshare',
    '--user',
    ...options,
    'sh',
    '-c',
    `${script}exec "$@"`,
    'sh',
  ]

  it('is not told from the right process by nothing: those are signed for', async () => {
    await startedIs({ uid: identified, program: agent }, 'agents')
    await startedIs({ uid: other, program: hashed }, 'builds')
  })

  it('as another user, with the right program', async () => {
    await startedIs({ uid: stranger, program: agent }, undefined)
    await startedIs({ uid: stranger, program: hashed }, undefined)
    await startedIs({ uid: 0, program: agent }, undefined)
  })

  it('as the right user, with another program', async () => {
    await startedIs({ uid: identified }, undefined)
    await startedIs({ uid: identified, program: hashed }, undefined)
  })

  it('by a user namespace that maps it to the right user', async () => {
    const under = enclosed('', `--map-user=${identified}`)
    await startedIs({ uid: stranger, program: agent, under }, undefined)
  })

  it('by a mount over the program, in a mount namespace of its own', async () => {
    const under = enclosed(`mount --bind ${python} ${agent} && `, '--map-root-user', '--mount')
    await startedIs({ uid: identified, program: agent, under }, undefined)
    await startedIs({ uid: stranger, program: agent, under }, undefined)
  })

  it('by the same path below a root of its own', async () => {
    const script = `mount --rbind / /mnt && mount --bind ${python} /mnt${agent} && `
    const under = [...enclosed(script, '--map-root-user', '--mount'), 'chroot', '/mnt']
    await startedIs({ uid: identified, program: agent, under }, undefined)
  })

  it('by a relative path that reads the same', async () => {
    const under = ['sh', '-c', `cd ${attic} && exec "$@"`, 'sh']
    await startedIs({ uid: identified, program: './agent', under }, undefined)
    await startedIs({ uid: other, program: './hashed', under }, undefined)
  })

  it('by the name of its thread', async () => {
    await using workload = await start({ uid: identified })
    await workload.do('rename', { name: 'agent' })
    assert.equal(await takenFor(workload), undefined)
  })

  it('by arguments and environment that only a more special identity asks for: then it has none', async () => {
    await startedIs({ uid: identified, program: agent, env: { ROLE: 'admin' } }, undefined)
    await startedIs({ uid: stranger, program: agent, env: { ROLE: 'admin' } }, undefined)
    const under = ['bash', '-c', 'exec -a admin "$@"', 'bash']
    await startedIs({ uid: identified, program: agent, under }, undefined)
    await startedIs({ uid: stranger, program: agent, under }, undefined)
  })

  it('by the number of an identified process that has ended', async () => {
    await using thief = await start({ uid: 0, program: agent })
    const victim = await start({ uid: identified, program: agent })
    assert.equal(await takenFor(victim), 'agents')
    await victim[Symbol.asyncDispose]()
    await until('the number is free', () => !isThere(victim.pid))
    const where = { host: agentHost, path: agentPath('reused', 0) }
    const outcome = await thief.do('reuse_pid', { pid: victim.pid, uid: stranger, ...where })
    assert.equal(outcome.status, 403, JSON.stringify(outcome))
    assert.deepEqual(world.seen('/reused/').map(isUnsigned), [true])
  })

  it('by a change of user on an open connection', async () => {
    const mayChange = ['--inh-caps=+setuid', '--ambient-caps=+setuid']
    const under = [
      'setpriv',
      `--reuid=${identified}`,
      `--regid=${identified}`,
      '--clear-groups',
      ...mayChange,
    ]
    await using workload = await start({ uid: 0, program: agent, under })
    await workload.do('connect', { id: 'kept', host: agentHost })
    assert.equal(await takenFor(workload, 'kept'), 'agents')
    await workload.do('set_uid', { uid: stranger, saved: stranger })
    assert.equal(await takenFor(workload, 'kept'), undefined)
    assert.equal(await takenFor(workload), undefined)
  })

  it('by an open connection that it inherits through exec', async () => {
    for (const [before, then] of [
      [agent, python],
      [python, agent],
    ]) {
      await using workload = await start({ uid: identified, program: before! })
      await workload.do('connect', { id: 'inherited', host: agentHost, tls: false })
      await workload.become(then!, 'inherited')
      const { error } = await workload.do('handshake', { id: 'inherited', host: agentHost })
      if (error === undefined) assert.equal(await takenFor(workload, 'inherited'), undefined)
      assert.equal(await takenFor(workload), then === agent ? 'agents' : undefined)
    }
  })
})

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
