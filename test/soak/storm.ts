// Does one deed after the other, sees that requests are signed again after each, and knows what may fail meanwhile.
import { setTimeout as delay } from 'node:timers/promises'
import { systemClock } from '#base/clock'
import type { Random } from '../fuzz/random.ts'
import { agentHost, agentPath } from '../system/stack/resources.ts'
import type { Workload } from '../system/stack/workload.ts'
import { until } from '../system/stack/world.ts'
import type { Deed } from './deeds.ts'
import type { Disturbances } from './disturbances.ts'

/** The longest until requests are signed again, on a machine with much else to do. */
const recoverySeconds = 120
/** Of all probes, so that no two requests have one path. */
let asked = 0

export interface Done {
  readonly what: string
  /** Until all was well again, in seconds. */
  readonly seconds: number
}

/** Until `signal` aborts; nothing where there are no deeds. @throws AssertionError when something does not come back */
export async function rage({
  deeds,
  probe,
  random,
  disturbances,
  pauseSeconds,
  onBegin,
  onDone,
  signal,
}: {
  deeds: readonly Deed[]
  /** A process of the first identity. */
  probe: Workload
  random: Random
  disturbances: Disturbances
  /** Between two deeds, on average. */
  pauseSeconds: number
  onBegin: (what: string) => void
  onDone: (done: Done) => void
  signal: AbortSignal
}): Promise<void> {
  const weighted = deeds.flatMap((deed) => Array.from({ length: deed.weight }, () => deed))
  const probed = async () => {
    const path = agentPath('alpha', `probe-${(asked += 1)}`)
    return (await probe.ask(agentHost, path)).status === 200
  }
  while (!signal.aborted && deeds.length > 0) {
    const deed = random.pick(weighted)
    const begun = systemClock.now()
    const end = deed.affects && disturbances.begin(deed.affects, begun)
    onBegin(deed.what)
    await deed.do()
    if (deed.affects === 'front') end?.(systemClock.now())
    await until(`a request is signed after: ${deed.what}`, probed, recoverySeconds)
    if (deed.affects === 'way') end?.(systemClock.now())
    onDone({ what: deed.what, seconds: (systemClock.now() - begun) / 1000 })
    await delay(random.below(2_000 * pauseSeconds), undefined, { signal }).catch(() => {})
  }
}
