import { isDeepStrictEqual } from 'node:util'
import { isFault } from '#base/errors'
import { openBell } from '#base/lifecycle'
import type { Log } from '#base/log'
import { aggregatedRules } from '#model/access'
import type { ClusterRole } from '#model/resource'
import { isBeingDeleted, type ResourceCache, type Resources } from '#server/store'

/** Keeps the rules of ClusterRoles with an aggregationRule those of the ClusterRoles that it selects. */
export function openRoleAggregation({
  cache,
  resources,
  log,
}: {
  cache: Pick<ResourceCache, 'list' | 'onChange'>
  resources: Pick<Resources, 'update'>
  log: Log
}): { run(options: { signal: AbortSignal }): Promise<void> } {
  async function aggregate(role: ClusterRole, roles: readonly ClusterRole[]): Promise<void> {
    const { apiVersion, kind, aggregationRule } = role
    const { namespace: _, ...metadata } = role.metadata
    if (!aggregationRule || isBeingDeleted(role)) return
    const others = roles
      .filter((other) => other !== role && !isBeingDeleted(other))
      .map(({ metadata: { name, labels = {} }, rules = [] }) => ({ name, labels, rules }))
    const rules = aggregatedRules(aggregationRule.clusterRoleSelectors, others)
    if (isDeepStrictEqual(rules, role.rules ?? [])) return
    try {
      await resources.update({
        apiVersion,
        kind,
        metadata,
        aggregationRule,
        rules: structuredClone(rules) as never,
      })
    } catch (error) {
      // Whoever was faster has made a change, which is looked at next.
      if (isFault(error, 'RESOURCE_CONFLICT') || isFault(error, 'RESOURCE_NOT_FOUND')) return
      log.warn('access.role-not-aggregated', { role: metadata.name, error })
    }
  }

  return {
    async run({ signal }) {
      const changed = openBell()
      using subscription = new DisposableStack()
      subscription.defer(
        cache.onChange((events) => {
          if (events.some(({ object }) => object.kind === 'ClusterRole')) changed.ring()
        }),
      )
      while (!signal.aborted) {
        const { rings } = changed
        const roles = cache.list('ClusterRole')
        for (const role of roles) await aggregate(role, roles)
        await changed.after(rings, signal)
      }
    },
  }
}
