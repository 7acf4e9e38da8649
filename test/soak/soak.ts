// One soak from beginning to end: what happens when, and what is looked at in between.
import { existsSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { systemClock } from '#base/clock'
import { openRandom } from '../fuzz/random.ts'
import { processesBelow } from '../system/stack/secrets.ts'
import { until, type World } from '../system/stack/world.ts'
import { Books } from './books.ts'
import { heldConnections } from './connections.ts'
import { startCrowd } from './crowd.ts'
import { deedsOn, type Deed } from './deeds.ts'
import { Disturbances } from './disturbances.ts'
import { openWatched } from './informers.ts'
import { openJournal, type Journal } from './journal.ts'
import { Outcomes } from './outcomes.ts'
import { bound, openStage, type Stage } from './stage.ts'
import { watchStalls } from './stalls.ts'
import { rage } from './storm.ts'
import { printProgress, printSummary, Tally } from './summary.ts'
import { grownDescriptors, grownMemory, takeVitals, Trends, type Sample } from './vitals.ts'

export interface SoakOptions {
  readonly minutes: number
  readonly processes: number
  /** Of all processes together, about: bursts come on top. */
  readonly requestsPerSecond: number
  /** Chooses deeds and requests; what depends on time is not repeated. */
  readonly seed: number
}

/** Of the time: how long everything is killed. In the rest nothing is whose memory is looked at. */
const stormShare = 0.6
const secondsBetweenDeeds = 4
/** What a machine that stood still may need until everything that was given up meanwhile is there again. */
const stallAftermathMs = 30_000
/** How long a workload lives before it is killed, on average. */
const workloadSeconds = 60
const progressSeconds = 10
/** Upstream connections are kept for 15 s after their last use. */
const settleSeconds = 120

/** True when every invariant held. */
export async function soak(options: SoakOptions): Promise<boolean> {
  using journal = openJournal()
  const stage = await openStage()
  const { base, host } = stage.world.place
  const tally = new Tally()
  try {
    await runOn(stage, { ...options, journal, tally })
    await leaveNothing(stage.world, journal)
  } catch (error) {
    // What breaks after the first failure mostly comes from it.
    if (journal.failures.length === 0) journal.broken(String(error))
  }
  journal.keep(stage.world)
  await stage[Symbol.asyncDispose]()
  for (const left of [base, host].filter(existsSync)) journal.broken(`${left} was left behind`)
  printSummary(tally)
  return journal.failures.length === 0
}

async function runOn(
  stage: Stage,
  {
    minutes,
    processes,
    requestsPerSecond,
    seed,
    journal,
    tally,
  }: SoakOptions & { journal: Journal; tally: Tally },
): Promise<void> {
  const { world } = stage
  const random = openRandom(seed)
  const onBroken = (what: string) => journal.broken(what)
  const disturbances = new Disturbances()
  const outcomes = (tally.outcomes = new Outcomes(disturbances, onBroken))
  const books = (tally.books = new Books({
    accessLog: path.join(world.layout.emulatorState, 'access.ndjson'),
    auditFolder: path.join(world.layout.serverData, 'audit'),
    identities: new Set(bound.keys()),
    onBroken,
  }))
  await using probes = new AsyncDisposableStack()
  const probeOf = async () => probes.use(await world.startWorkload({ uid: bound.get('alpha')! }))
  // One for each list of deeds.
  const lists = [await probeOf(), await probeOf()]
  const watched = (tally.watched = probes.use(await openWatched(world, onBroken)))
  const { toDaemon, around } = deedsOn(stage, random)

  /** Traffic and deeds for a while, then none, until nothing is under way. */
  async function phase(
    name: string,
    seconds: number,
    deeds: readonly [readonly Deed[], readonly Deed[]],
  ): Promise<readonly Sample[]> {
    const crowd = startCrowd({
      stage,
      processes,
      pauseSeconds: processes / requestsPerSecond,
      random,
      onReport: (report) => {
        if (outcomes.take(report)) books.answered(report.method, report.path)
      },
      onBroken,
    })
    const over = AbortSignal.timeout(Math.round(seconds * 1000))
    const signal = AbortSignal.any([journal.failed, over])
    const raging = lists.map((probe, index) =>
      rage({
        deeds: deeds[index]!,
        probe,
        random,
        disturbances,
        pauseSeconds: secondsBetweenDeeds,
        signal,
        onBegin: (what) => journal.note('deed', { deed: what }),
        onDone: (done) => tally.done(done),
      }).catch((error: unknown) => onBroken(String(error))),
    )
    const watching = watchStalls(signal, (since) => {
      tally.stalls += 1
      disturbances.begin('front', since)(systemClock.now() + stallAftermathMs)
    })
    const killing = crowd.killUntil(signal, { random, everySeconds: workloadSeconds / processes })
    const begun = systemClock.monotonic()
    let early: readonly Sample[] | undefined
    const trends = (tally.trends = new Trends())
    for (let round = 1; !signal.aborted; round += 1) {
      const due = begun + round * progressSeconds * 1000
      await delay(Math.max(0, due - systemClock.monotonic()), undefined, { signal }).catch(() => {})
      books.read()
      tally.vitals = takeVitals(world)
      // By half the time the young part of the server's memory has the size that it keeps, as it gets with any load.
      if (systemClock.monotonic() - begun > seconds * 500) {
        early ??= tally.vitals
        trends.take(systemClock.monotonic(), tally.vitals)
      }
      journal.note('vitals', { vitals: tally.vitals })
      printProgress(name, (systemClock.monotonic() - begun) / 1000, tally)
    }
    tally.workloadsKilled += await killing
    await Promise.all([...raging, watching])
    const late = takeVitals(world)
    await crowd.stop(AbortSignal.timeout(settleSeconds * 1000))
    if (early && !deeds.flat().some(({ replaces }) => replaces)) grownMemory(early, late).forEach(onBroken)
    journal.failed.throwIfAborted()
    await until('no connection is held any more', () => heldConnections().length === 0, settleSeconds)
    await until(
      'every request that the cloud saw signed has its record',
      () => {
        books.read()
        return books.unrecorded().length === 0
      },
      settleSeconds,
    )
    books.unequal().forEach((key) => onBroken(`answered, but not seen and recorded once each: ${key}`))
    return takeVitals(world)
  }

  const seconds = minutes * 60
  const afterStorm = await phase('storm', seconds * stormShare, [toDaemon, around])
  const lasting = around.filter(({ replaces }) => !replaces)
  const atEnd = await phase('calm', seconds * (1 - stormShare), [[], lasting])
  tally.atRest = [afterStorm, atEnd]
  grownDescriptors(afterStorm, atEnd).forEach(onBroken)
  ;(await watched.finish()).forEach(onBroken)
}

/** Stops the daemon and takes it out of the kernel: neither leaves anything. */
async function leaveNothing(world: World, journal: Journal): Promise<void> {
  const { daemon, place, layout } = world
  await daemon.end('SIGTERM')
  const processes = processesBelow(path.join(place.host, 'daemon'))
  if (processes.length > 0) journal.broken(`processes of the daemon were left: ${processes.join(' ')}`)
  const { code, stderr } = await world.cli(['capture', 'release', `--run-dir=${layout.run}`])
  if (code !== 0) journal.broken(`capture release: ${stderr}`)
  if (existsSync(`${layout.run}-bpf`)) journal.broken('pins were left in the kernel')
}
