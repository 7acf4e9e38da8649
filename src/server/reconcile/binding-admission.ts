import type { Clock } from '#base/clock'
import { afterAtMost, openBell } from '#base/lifecycle'
import type { TrustDomain } from '#model/identity'
import type { CredentialBinding } from '#model/resource'
import type { Admission, ResourceCache } from '#server/store'
import type { BindingProblem } from './plan.ts'
import { searchFor } from './surroundings.ts'
import { planWorkload } from './workload-plan.ts'

/** What was written just before a binding has arrived in the cache by then. */
const settleMs = 200

type Cache = Pick<ResourceCache, 'list' | 'ofWorkload' | 'onChange'>

/**
 * Warns whoever writes a binding that is not in force as things are, in the words of its status: what it names is
 * missing, or its host is bound already. It is written all the same: there is no order to apply in.
 */
export function bindingAdmission(
  cacheOf: () => Cache,
  { trustDomain, clock }: { trustDomain: TrustDomain; clock: Clock },
): Admission {
  /** Plans the workload of a binding as if it were written. */
  function problemOf(binding: CredentialBinding): BindingProblem | undefined {
    const cache = cacheOf()
    const { namespace, name, uid } = binding.metadata
    const { workloadID } = binding.spec
    const others = cache
      .ofWorkload('CredentialBinding', workloadID)
      .filter(({ metadata }) => metadata.namespace !== namespace || metadata.name !== name)
    const { problems } = planWorkload(
      {
        identities: cache.ofWorkload('WorkloadIdentity', workloadID),
        bindings: [...others, binding],
        daemons: cache.ofWorkload('Daemon', workloadID),
      },
      searchFor(trustDomain, cache),
    )
    return problems.get(uid)
  }

  return async ({ operation, object, actor }) => {
    if (operation === 'delete' || object.kind !== 'CredentialBinding' || !actor) return []
    const changed = openBell()
    using subscription = new DisposableStack()
    subscription.defer(cacheOf().onChange(() => changed.ring()))
    const deadline = clock.monotonic() + settleMs
    const { signal } = new AbortController()
    for (;;) {
      const { rings } = changed
      const problem = problemOf(object)
      const ms = deadline - clock.monotonic()
      if (!problem) return []
      if (ms <= 0) return [`${object.metadata.name} is ${problem.state}: ${problem.message}`]
      await afterAtMost(changed, rings, { ms, clock, signal })
    }
  }
}
