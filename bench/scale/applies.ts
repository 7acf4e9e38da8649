/** How long it takes from the `apply` of a binding until it is in effect on the last daemon concerned. */
import { systemClock } from '#base/clock'
import type { Bed } from './measure.ts'
import { binding, daemonOf, everywhere, identityId, serviceName, sharedId, unbound } from './objects.ts'
import { loopDelayMs, shareOf, type Share } from './server.ts'

const patienceMs = 60_000

interface Apply {
  readonly name: string
  readonly workloadId: string
  readonly app: string
  /** Names of daemons. */
  readonly concerned: readonly string[]
}

/** Milliseconds since the binding was sent. */
interface Timing {
  /** Every daemon concerned has acknowledged it, credential included. */
  readonly acknowledged: number
  /** A watch shows its state OK: the server has all acknowledgements. */
  readonly ok: number
  /** From its deletion until no daemon has it. */
  readonly revoked: number
  /** Until it was acknowledged: CPU of each, and how long each was ready and had no core. */
  readonly server: Share
  readonly daemons: Share
}

const since = (from: Share, to: Share): Share => ({
  cpuMs: to.cpuMs - from.cpuMs,
  waitedMs: to.waitedMs - from.waitedMs,
})

/** Follows the states of all bindings. */
function followStates({ server, signal }: Bed) {
  const ok = new Set<string>()
  const waiting = new Map<string, () => void>()
  const stop = new AbortController()
  async function follow(): Promise<void> {
    const { resourceVersion } = await server.client.list('CredentialBinding', { signal })
    const events = server.client.watch('CredentialBinding', {
      resourceVersion,
      signal: AbortSignal.any([signal, stop.signal]),
    })
    for await (const { object } of events) {
      if (object.status?.state !== 'OK') continue
      ok.add(object.metadata.name)
      waiting.get(object.metadata.name)?.()
    }
  }
  const following = follow()
  following.catch(() => {})
  return {
    async untilOk(name: string, until: AbortSignal): Promise<void> {
      if (ok.has(name)) return
      await new Promise<void>((resolve, reject) => {
        waiting.set(name, resolve)
        until.addEventListener('abort', () => reject(new Error(`${name} is not OK in time`)), { once: true })
      })
    },
    async [Symbol.asyncDispose]() {
      stop.abort()
      await following.catch(() => {})
    },
  }
}

async function applyOne(
  { server, fleet, signal }: Bed,
  states: ReturnType<typeof followStates>,
  { name, workloadId, app, concerned }: Apply,
): Promise<Timing> {
  const patience = AbortSignal.any([signal, AbortSignal.timeout(patienceMs)])
  const credential = `cloud spiffe://scale.test/${workloadId}`
  const started = systemClock.monotonic()
  const passed = () => systemClock.monotonic() - started
  const before = [shareOf([server.pid]), shareOf(fleet.pids)] as const
  const acknowledged = fleet
    .until({ is: 'bound', binding: name, credential }, concerned, patience)
    .then(
      () =>
        [passed(), since(before[0], shareOf([server.pid])), since(before[1], shareOf(fleet.pids))] as const,
    )
  const ok = states.untilOk(name, patience).then(passed)
  const applied = server.client.apply(binding(name, workloadId, app), { signal })
  const timing = await Promise.all([acknowledged, ok, applied])
  const deletedAt = systemClock.monotonic()
  const revoked = fleet.until({ is: 'unbound', binding: name }, concerned, patience)
  await Promise.all([server.client.delete('CredentialBinding', name, { signal }), revoked])
  const [[ms, ofServer, ofDaemons], okMs] = timing
  const revokedMs = systemClock.monotonic() - deletedAt
  return { acknowledged: ms, ok: okMs, revoked: revokedMs, server: ofServer, daemons: ofDaemons }
}

export function percentile(numbers: readonly number[], share: number): number {
  const sorted = numbers.toSorted((one, other) => one - other)
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? NaN
}

async function measure(bed: Bed, what: string, applies: readonly Apply[], limitMs: number): Promise<void> {
  const { server, results, say } = bed
  say(`applying ${applies.length} bindings, ${what}`)
  await using states = followStates(bed)
  const timings: Timing[] = []
  const before = await server.read()
  for (const apply of applies) {
    timings.push(await applyOne(bed, states, apply))
    if (systemClock.monotonic() - before.atMs > limitMs) break
  }
  const after = await server.read()
  results.set(`applies, ${what}`, timings.length)
  for (const [name, share] of [
    ['p50', 0.5],
    ['p99', 0.99],
  ] as const) {
    for (const moment of ['acknowledged', 'ok', 'revoked'] as const) {
      const times = timings.map((timing) => timing[moment])
      results.set(`${what}: ${moment}, ${name}, ms`, percentile(times, share))
    }
  }
  for (const party of ['server', 'daemons'] as const) {
    const median = (part: keyof Share) =>
      percentile(
        timings.map((timing) => timing[party][part]),
        0.5,
      )
    results.set(`${what}: until acknowledged, CPU of the ${party}, p50, ms`, median('cpuMs'))
    results.set(`${what}: until acknowledged, ${party} without a core, p50, ms`, median('waitedMs'))
  }
  results.set(`${what}: server CPU for apply and delete, ms`, (after.cpuMs - before.cpuMs) / timings.length)
  results.set(`${what}: event-loop delay p99, ms`, loopDelayMs(before, after, 0.99))
}

export async function measureApplies(bed: Bed): Promise<void> {
  const { size, effort, fleet } = bed
  const { applies, sharedApplies, newHosts } = effort
  const own = unbound(size, applies).map((index) => ({
    name: `apply-${index}`,
    workloadId: identityId(index),
    app: serviceName(index),
    concerned: [fleet.names[daemonOf(index, size)]!],
  }))
  const shared = Array.from({ length: sharedApplies + newHosts }, (_, index) => ({
    name: `shared-${index}`,
    workloadId: sharedId(index + 1),
    app: index < sharedApplies ? everywhere : `new-${index - sharedApplies}`,
    concerned: fleet.names,
  }))
  await measure(bed, 'one daemon', own, 45_000)
  await measure(bed, 'all daemons', shared.slice(0, sharedApplies), 180_000)
  await measure(bed, 'all daemons, new host', shared.slice(sharedApplies), 30_000)
}
