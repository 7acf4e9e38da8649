import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import { Fault } from '#base/errors'
import { silentLog } from '#base/log'
import { expectResource, type ClusterRole, type Draft } from '#model/resource'
import { openMemoryStore, openResourceCache, openResources } from '#server/store'
import { openRoleAggregation } from './role-aggregation.ts'

const rule = (resource: string) => ({ verbs: ['get'], apiGroups: [''], resources: [resource] })
const role = (name: string, rest: object) =>
  expectResource({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name },
    ...rest,
  }).draft as Draft<ClusterRole>
const labelled = (name: string, resource: string, labels: object) =>
  ({ ...role(name, { rules: [rule(resource)] }), metadata: { name, labels } }) as Draft<ClusterRole>

async function openBed() {
  await using stack = new AsyncDisposableStack()
  const sealer = {
    seal: (_: unknown, text: Uint8Array) => text,
    unseal: (_: unknown, text: Uint8Array) => text,
  }
  const resources = openResources(stack.use(openMemoryStore()), {
    clock: openTestClock(),
    random: randomBytes,
    sealer,
  })
  const cache = stack.use(await openResourceCache(resources))
  const stop = new AbortController()
  const clock = openTestClock()
  const away = { writes: 0 }
  const update: typeof resources.update = (...args) => {
    if (away.writes-- > 0) return Promise.reject(new Fault('STORE_UNAVAILABLE', 'the connection was lost'))
    return resources.update(...args)
  }
  const running = openRoleAggregation({ cache, resources: { update }, clock, log: silentLog }).run(stop)
  stack.defer(async () => {
    stop.abort()
    await running
  })
  const owned = stack.move()
  return {
    resources,
    clock,
    /** How many writes of it fail from now on. */
    away,
    /** Resolves once the rules of a role are about these resources, in this order. */
    async rulesOf(name: string, wanted: readonly string[]) {
      for (;;) {
        const { rules = [] } = (await resources.get('ClusterRole', '', name))!
        const found = rules.flatMap(({ resources = [] }) => resources)
        if (found.join() === wanted.join()) return
        await new Promise(setImmediate)
      }
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

test('a role that gathers has the rules of those that any of its selectors means, at all times', async () => {
  await using bed = await openBed()
  const { resources } = bed
  await resources.create(labelled('b', 'pods', { team: 'x' }))
  await resources.create(labelled('a', 'nodes', { team: 'y', tier: '1' }))
  const gathering = role('all', {
    rules: [rule('what is written here is replaced')],
    aggregationRule: {
      clusterRoleSelectors: [
        { matchLabels: { team: 'x' } },
        {
          matchExpressions: [
            { key: 'team', operator: 'In', values: ['y'] },
            { key: 'tier', operator: 'Exists' },
            { key: 'old', operator: 'DoesNotExist' },
            { key: 'tier', operator: 'NotIn', values: ['2'] },
          ],
        },
      ],
    },
  })
  await resources.create(gathering)
  await bed.rulesOf('all', ['nodes', 'pods'])
  await resources.create(labelled('c', 'nodes', { team: 'x' }))
  await resources.create(labelled('d', 'secrets', { team: 'x', old: '' }))
  await bed.rulesOf('all', ['nodes', 'pods', 'secrets'])
  await resources.update(labelled('a', 'nodes', { team: 'y', tier: '2' }))
  await bed.rulesOf('all', ['pods', 'nodes', 'secrets'])
  await resources.delete('ClusterRole', '', 'b')
  await bed.rulesOf('all', ['nodes', 'secrets'])
})

test('a role whose rules could not be written is written soon, though nothing changes any more', async () => {
  await using bed = await openBed()
  await bed.resources.create(labelled('a', 'pods', { team: 'x' }))
  bed.away.writes = 1
  const aggregationRule = { clusterRoleSelectors: [{ matchLabels: { team: 'x' } }] }
  await bed.resources.create(role('all', { rules: [rule('replaced')], aggregationRule }))
  await bed.clock.untilArmed()
  await bed.clock.advance(1_000)
  await bed.rulesOf('all', ['pods'])
})
