import { isDeepStrictEqual } from 'node:util'
import type { Clock } from '#base/clock'
import { isFault } from '#base/errors'
import { afterAtMost, openBell } from '#base/lifecycle'
import type { Log } from '#base/log'
import { aggregatedRules } from '#model/access'
import type { ClusterRole } from '#model/resource'
import { isBeingDeleted, type ResourceCache, type Resources } from '#server/store'

const retryMs = 1_000

/** Keeps the rules of ClusterRoles with an aggregationRule those of the ClusterRoles that it selects. */
export function openRoleAggregation({
  cache,
  resources,
  clock,
  log,
}: {
  cache: Pick<ResourceCache, 'list' | 'onChange'>
  resources: Pick<Resources, 'update'>
  clock: Clock
  log: Log
}): { run(options: { signal: AbortSignal }): Promise<void> } {
  /** False when it has to be tried again. */
  async function aggregate(role: ClusterRole, roles: readonly ClusterRole[]): Promise<boolean> {
    const { apiVersion, kind, aggregationRule } = role
    const { namespace: _, ...metadata } = role.metadata
    if (!aggregationRule || isBeingDeleted(role)) return true
    const others = roles
      .filter((other) => other !== role && !isBeingDeleted(other))
      .map(({ metadata: { name, labels = {} }, rules = [] }) => ({ name, labels, rules }))
    const rules = aggregatedRules(aggregationRule.clusterRoleSelectors, others)
    if (isDeepStrictEqual(rules, role.rules ?? [])) return true
    try {
      await resources.update({
        apiVersion,
        kind,
        metadata,
        aggregationRule,
        rules: structuredClone(rules) as never,
      })
      return true
    } catch (error) {
      // Whoever was faster has made a change, which is looked at next.
      if (isFault(error, 'RESOURCE_CONFLICT') || isFault(error, 'RESOURCE_NOT_FOUND')) return true
      log.warn('access.role-not-aggregated', { role: metadata.name, error })
      return false
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
        let done = true
        for (const role of roles) done = (await aggregate(role, roles)) && done
        if (done) await changed.after(rings, signal)
        else await afterAtMost(changed, rings, { ms: retryMs, clock, signal })
      }
    },
  }
}
