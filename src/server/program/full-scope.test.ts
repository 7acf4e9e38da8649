import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { guideResources, openFakeDaemon, openTestBed, type StoredObject } from './fixture.ts'

const daemonId = 'riptides/daemon/one'
const scope = { daemonGroup: { id: 'all' } }
const teamPath = '/apis/core.riptides.io/v1alpha1/namespaces/team/workloadidentitys'
// Each as large as it may be, and together more than these daemons take in one message; others take four times that.
const count = 72
const readMaxBytes = 16 << 20
/** Of these, in 12 MiB. */
const fitting = 49
const selectors = [
  { 'process:uid': 1, 'process:cmdline': Array.from({ length: 63 }, () => 'x'.repeat(4_000)) },
]

test('who fills the scope of a group takes nothing from others, and is told of it until there is room', async (context) => {
  const bed = await openTestBed(context)
  const server = await bed.start()
  const inGroup = { workloadId: daemonId, daemonGroups: ['all'], readMaxBytes }
  const daemon = await openFakeDaemon(server, bed.access!, inGroup)
  context.after(() => daemon.close())
  const create = async (name: string) => {
    const object = {
      apiVersion: 'core.riptides.io/v1alpha1',
      kind: 'WorkloadIdentity',
      metadata: { name },
      spec: { workloadID: name, scope, selectors },
    }
    assert.equal((await server.call('POST', teamPath, object)).status, 201)
  }
  for (let made = 0; made < count; made += 8)
    await Promise.all(Array.from({ length: 8 }, (_, index) => create(`large-${made + index}`)))

  // What comes later gets its share all the same, on a stream that is open, and on one that begins.
  const guide = guideResources(bed.sts, daemonId)
  await server.apply({
    ...guide,
    workloadidentitys: { workload: { ...guide.workloadidentitys.workload, scope } },
  })
  await server.until('credentialbindings', 'binding', ({ status }) => status?.state === 'OK')
  const late = { ...inGroup, workloadId: 'riptides/daemon/late' }
  const other = await openFakeDaemon(server, bed.access!, late)
  context.after(() => other.close())
  await other.until(({ identities, credentials }) => identities.has('workload') && credentials.size === 1)

  const large = () => [...daemon.scope().identities.keys()].filter((name) => name.startsWith('team/'))
  const before = large()
  assert.equal(before.length, fitting)
  const says = async (name: string, state: RegExp) => {
    for (;;) {
      const { status } = (await server.call('GET', `${teamPath}/${name}`)).body as StoredObject
      if (state.test(`${status?.state}: ${status?.message}`)) return
      await delay(20)
    }
  }
  await says(
    `large-${count - 1}`,
    /^FAILED: the scope of daemon late, one has no room for it: namespace team wants more/,
  )
  const complete = ({ status }: StoredObject) =>
    status?.conditions?.find(({ type }) => type === 'ScopeComplete')
  const said = await server.until('daemons', 'one', (object) => complete(object) !== undefined)
  assert.match(complete(said)!.message, /^it goes without part of what is in namespace team,/)

  // A deletion is in effect at once, and makes room for another.
  const [gone] = before
  assert.equal((await server.call('DELETE', `${teamPath}/${gone!.slice(5)}`)).status, 200)
  await daemon.until(({ identities }) => !identities.has(gone!) && large().length === fitting)
  const [come] = large().filter((name) => !before.includes(name))
  await says(come!.slice(5), /^OK/)
  await daemon.close()
  await other.close()
})
