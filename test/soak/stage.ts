// The stack that is soaked: three identities of different users, bound to two hosts of the cloud, and strangers; a
// front before the cloud that can be killed without the cloud forgetting anything.
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { addLoopbackAddress } from '#base/syscall'
import { cloudAddress } from '#cli/dev'
import { agentHost, binding, identity, service, source } from '../system/stack/resources.ts'
import { openWorld, python, type World } from '../system/stack/world.ts'

/** Whose requests are signed: user and role have the name of the identity. */
export const bound: ReadonlyMap<string, number> = new Map([
  ['alpha', 52_001],
  ['beta', 52_003],
  ['gamma', 52_004],
])
/** Runs the same program as another user. */
export const stranger = { label: 'stranger', uid: 52_002 } as const

const storeHost = 's3.us-east-1.amazonaws.com'
export const frontAddress = '203.0.113.11'
/** Asked for by their names, and by those alone: the control plane speaks to the cloud itself. */
const behindFront: readonly string[] = [storeHost, agentHost, 'ssm.us-east-1.amazonaws.com']

export interface Stage extends AsyncDisposable {
  readonly world: World
  /** What forks the workloads. */
  readonly nursery: string
  /** What workloads trust. */
  readonly trust: string
  readonly front: ChildProcess
  startFront(): Promise<void>
}

function standBefore(base: string): void {
  addLoopbackAddress(frontAddress, 32)
  const hosts = path.join(base, 'hosts')
  const led = (line: string) => behindFront.some((host) => line.endsWith(` ${host}`))
  const lines = readFileSync(hosts, 'utf8').split('\n')
  // The file is mounted over the hosts file: written in place, so that it stays so.
  writeFileSync(
    hosts,
    lines.map((line) => (led(line) ? line.replace(cloudAddress, frontAddress) : line)).join('\n'),
  )
}

/** What an operator declares: each identity with its role, and with both Services. */
async function declare(world: World): Promise<void> {
  const names = [...bound.keys()]
  for (const name of names) await world.createRole(name, name, ['bedrock:*', 's3:*'])
  await world.apply(
    service('runtime', agentHost),
    service('store', storeHost),
    ...[...bound].map(([name, uid]) => identity(name, { 'process:uid': uid, 'process:binary:path': python })),
    ...names.map((name) => source(name)),
    ...bindings.map((name) => {
      const [workload, to] = name.split('-') as [string, string]
      return binding(name, { workload, from: workload, to })
    }),
  )
  await world.untilBound(...bindings)
}

/** Names of all bindings: the identity and the Service. */
export const bindings: readonly string[] = [...bound.keys()].flatMap((name) => [
  `${name}-runtime`,
  `${name}-store`,
])

async function makeBuckets(world: World): Promise<void> {
  for (const [name, uid] of bound) {
    await using workload = await world.startWorkload({ uid })
    const said = { method: 'PUT', body: '' }
    const { status } = await workload.do('request', { host: storeHost, path: `/${name}`, said })
    assert.equal(status, 200, `the bucket of ${name}`)
  }
}

export async function openStage(): Promise<Stage> {
  const world = await openWorld()
  await using starting = new AsyncDisposableStack()
  starting.use(world)
  const { base } = world.place
  standBefore(base)
  const open = path.join(base, 'open')
  // In a folder of their own: the stack has a workload.py as well.
  const programs = path.join(open, 'soak')
  mkdirSync(programs)
  const nursery = path.join(programs, 'nursery.py')
  for (const name of ['nursery.py', 'workload.py'])
    copyFileSync(path.join(import.meta.dirname, name), path.join(programs, name))
  // A copy, as processes start also while there is no daemon: the root survives it.
  const trust = path.join(open, 'trust.pem')
  const bundle = path.join(world.layout.run, 'certs', 'ca-certificates.crt')
  writeFileSync(trust, [bundle, path.join(open, 'cloud-ca.pem')].map((file) => readFileSync(file)).join('\n'))

  const startFront = async () => {
    const program = path.join(import.meta.dirname, 'front.ts')
    const child = world.place.start('front', [process.execPath, program, frontAddress, cloudAddress])
    await once(child.stdout!, 'data')
    return child
  }
  let front = await startFront()
  await declare(world)
  await makeBuckets(world)
  const owned = starting.move()
  return {
    world,
    nursery,
    trust,
    get front() {
      return front
    },
    async startFront() {
      front = await startFront()
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}
