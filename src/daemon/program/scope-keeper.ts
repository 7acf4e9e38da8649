import { toFault } from '#base/errors'
import type { Log } from '#base/log'
import { applyScopeUpdate, emptyScope, type Scope, type ScopeUpdate } from '#model/scope'
import type { Judge } from './judge.ts'
import type { KernelPolicy } from './kernel-policy.ts'
import type { WorkerPool } from './workers.ts'

/** The scope of this daemon and everything that has to follow it: judge, workers, kernel. */
export interface ScopeKeeper {
  readonly scope: () => Scope
  /** Whether a scope has come since the start and is in effect: before that this daemon knows nothing. */
  readonly known: () => boolean
  /** Resolves when the change is in effect everywhere. Changes are put into effect one after the other. */
  apply(update: ScopeUpdate): Promise<void>
  /** Withdraws every credential: the lease has ended. */
  withdrawCredentials(): Promise<void>
  /** Withdraws everything: the control plane has deleted this daemon. */
  withdrawAll(): Promise<void>
  /** Looks again at executables and cgroups that selectors name. */
  refreshKernel(): Promise<void>
}

const nothing = { identities: [], services: [], bindings: [], credentials: [] }
/** Of our own: it changes nothing. */
const noChange: ScopeUpdate = { revision: 0, reset: false, upsert: nothing, remove: nothing }

export function openScopeKeeper({
  judge,
  pool,
  kernel,
  onScope,
  log,
}: {
  judge: Pick<Judge, 'setPolicy'>
  pool: Pick<WorkerPool, 'apply'>
  kernel: Pick<KernelPolicy, 'look' | 'update' | 'numbers'> | undefined
  onScope: (scope: Scope) => void
  log: Log
}): ScopeKeeper {
  let scope = emptyScope
  let generation = 0
  let known = false
  let last: Promise<void> = Promise.resolve()

  const inTurn = (change: () => Promise<void>): Promise<void> => {
    last = last.then(change, change)
    return last
  }
  const putIntoEffect = async (update: ScopeUpdate): Promise<void> => {
    const before = scope
    scope = applyScopeUpdate(scope, update)
    const policyChanged =
      !known ||
      before.identities !== scope.identities ||
      before.services !== scope.services ||
      before.bindings !== scope.bindings
    // SECURITY: first the kernel forgets its verdicts and the judge takes the new identities, then workers cut what
    // is no longer granted: nothing is let in under the old policy once they have. A kernel that refuses the new one
    // keeps nothing in force: that is said when the rest is done.
    let refusal: unknown
    if (policyChanged) {
      generation++
      await kernel?.look(scope)
      try {
        kernel?.update(scope, { force: true })
      } catch (error) {
        refusal = error
      }
      judge.setPolicy(scope, generation, kernel?.numbers() ?? new Map())
    }
    await pool.apply(update, scope, generation)
    known = true
    onScope(scope)
    const { identities, services, bindings, credentials } = scope
    log.info('scope.applied', {
      revision: update.revision,
      identities: identities.size,
      services: services.size,
      bindings: bindings.size,
      credentials: credentials.size,
    })
    if (refusal !== undefined) throw refusal
  }
  return {
    scope: () => scope,
    known: () => known,
    apply: (update) => inTurn(() => putIntoEffect(update)),
    withdrawCredentials: () =>
      inTurn(async () => {
        if (scope.credentials.size === 0) return
        const credentials = [...scope.credentials.keys()]
        await putIntoEffect({ ...noChange, remove: { ...nothing, credentials } })
      }),
    withdrawAll: () =>
      inTurn(async () => {
        if (known) await putIntoEffect({ ...noChange, reset: true })
      }),
    refreshKernel: () =>
      inTurn(async () => {
        if (!known || !kernel) return
        await kernel.look(scope)
        try {
          if (!kernel.update(scope).changed) return
        } catch (error) {
          return log.error('kernel.refused', { error: toFault(error).message }) // it is asked again with the next look
        }
        // The kernel has forgotten its verdicts, and executables may be others: workers that remembered theirs would
        // never ask again, and the kernel take judged strangers for candidates, and the identified for nobody.
        generation++
        judge.setPolicy(scope, generation, kernel.numbers())
        await pool.apply(noChange, scope, generation)
      }),
  }
}
