/** One fleet from its first daemon to its last binding, and what each step costs the server. */
import { join } from 'node:path'
import { systemClock } from '#base/clock'
import { isFault } from '#base/errors'
import { openFakeSts } from '../../src/server/program/fake-sts.ts'
import { measureApplies } from './applies.ts'
import { joinFleet, type Fleet } from './fleet.ts'
import { countBound, sharedIdentity, service, standing, type Size } from './objects.ts'
import { inParallel } from './parallel.ts'
import { loopDelayMs, startServer, type Server } from './server.ts'

/** How much is done in each step. */
export interface Effort {
  readonly applies: number
  readonly sharedApplies: number
  readonly newHosts: number
  readonly watchers: number
  readonly watchedWrites: number
  readonly restSeconds: number
  /** Longest time that a step waits for the server to have nothing left to do. */
  readonly settleSeconds: number
}

/** What was measured: numbers by name, in order. */
export type Results = Map<string, number>

export interface Surroundings {
  readonly folder: string
  readonly signal: AbortSignal
  readonly say: (progress: string) => void
}

export interface Bed extends Surroundings {
  readonly size: Size
  readonly effort: Effort
  readonly server: Server
  readonly fleet: Fleet
  readonly results: Results
}

const writesAtOnce = 32
const progressMs = 10_000

/** An STS that believes everything: what is measured is the server. */
async function openCloud() {
  const cloud = await openFakeSts()
  const expiration = new Date(systemClock.now() + 6 * 3_600_000).toISOString()
  const body =
    '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>' +
    `<Credentials><SessionToken>${'t'.repeat(700)}</SessionToken><SecretAccessKey>secret</SecretAccessKey>` +
    `<Expiration>${expiration}</Expiration><AccessKeyId>ASIASCALE</AccessKeyId></Credentials>` +
    '</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>'
  cloud.mode = { kind: 'answer', status: 200, body }
  return cloud
}

/** Waits until the server has been almost idle for three seconds, by what it does at rest, or for too long. */
async function settle({
  server,
  effort,
  signal,
  size,
  say,
}: Omit<Bed, 'fleet' | 'results'>): Promise<boolean> {
  const until = systemClock.monotonic() + effort.settleSeconds * 1000
  const quietShare = 0.1 + size.daemons / 5_000
  let quiet = 0
  for (let before = await server.read(); quiet < 3;) {
    await systemClock.sleep(1_000, { signal })
    const now = await server.read()
    quiet = (now.cpuMs - before.cpuMs) / (now.atMs - before.atMs) < quietShare ? quiet + 1 : 0
    if (quiet < 3 && now.atMs > until) {
      say('the server is still busy; going on')
      return false
    }
    before = now
  }
  return true
}

async function createObjects(bed: Bed, stsUrl: string): Promise<void> {
  const { server, size, effort, results, signal, say } = bed
  const drafts = [...standing(size, stsUrl)]
  const shared = effort.sharedApplies + effort.newHosts
  for (let index = 1; index <= shared; index += 1) drafts.push(sharedIdentity(index))
  for (let index = 0; index < effort.newHosts; index += 1) drafts.push(service(`new-${index}`))
  const before = await server.read()
  let done = 0
  using _ = every(progressMs, () => say(`${done} of ${drafts.length} objects written`))
  await inParallel(drafts, writesAtOnce, async (draft) => {
    await server.client.create(draft, { signal })
    done += 1
  })
  const after = await server.read()
  results.set('objects written', drafts.length)
  results.set('objects written a second', (1000 * drafts.length) / (after.atMs - before.atMs))
  results.set('server CPU for each object written, ms', (after.cpuMs - before.cpuMs) / drafts.length)
  results.set('event-loop delay p99 while objects are written, ms', loopDelayMs(before, after, 0.99))
  say(`${done} objects written; waiting for credentials and states`)
  const bound = countBound(size)
  const until = systemClock.monotonic() + effort.settleSeconds * 1000
  while ((await server.metric('credentials')) < bound && systemClock.monotonic() < until) {
    await systemClock.sleep(500, { signal })
  }
  await settle(bed)
  const settled = await server.read()
  results.set('until all has a state and a credential, s', (settled.atMs - before.atMs) / 1000)
  results.set('server CPU until then, s', (settled.cpuMs - before.cpuMs) / 1000)
}

export function every(ms: number, work: () => void): Disposable {
  const timer = setInterval(work, ms)
  return { [Symbol.dispose]: () => clearInterval(timer) }
}

async function syncAll(bed: Bed): Promise<void> {
  const { server, fleet, results, signal, say } = bed
  const before = await server.read()
  await fleet.connect()
  await fleet.until({ is: 'synced' }, fleet.names, signal)
  const synced = await server.read()
  results.set('full sync of all daemons, s', (synced.atMs - before.atMs) / 1000)
  results.set('server CPU for it, s', (synced.cpuMs - before.cpuMs) / 1000)
  say('all daemons have their scopes; waiting for states')
  const settled = await settle(bed)
  const after = await server.read()
  results.set('until all states say so, s', settled ? (after.atMs - before.atMs) / 1000 : NaN)
  results.set('server CPU until then, with states, s', (after.cpuMs - before.cpuMs) / 1000)
  results.set('event-loop delay p99 meanwhile, ms', loopDelayMs(before, after, 0.99))
}

/** A server that restarts, with all daemons back at once. */
async function reconnectAll(bed: Bed): Promise<void> {
  const { server, fleet, results, signal, say } = bed
  await fleet.forget()
  await server.restart()
  say('restarted; all daemons come back')
  const ready = await server.read()
  await fleet.until({ is: 'synced' }, fleet.names, signal)
  const synced = await server.read()
  results.set('restart: from ready until all daemons are in sync, s', (synced.atMs - ready.atMs) / 1000)
  results.set('restart: server CPU for it, s', (synced.cpuMs - ready.cpuMs) / 1000)
  results.set('restart: server without a core meanwhile, s', (synced.waitedMs - ready.waitedMs) / 1000)
  results.set('restart: longest event-loop delay, at most, ms', loopDelayMs(ready, synced, 1))
  await settle(bed)
}

async function rest({ server, effort, results, signal }: Bed): Promise<void> {
  const before = await server.read()
  await systemClock.sleep(effort.restSeconds * 1000, { signal })
  const after = await server.read()
  const share = (after.cpuMs - before.cpuMs) / (after.atMs - before.atMs)
  results.set('server CPU at rest, % of a core', share * 100)
  results.set('event-loop delay p99 at rest, ms', loopDelayMs(before, after, 0.99))
  const { resident, proportional } = server.memory()
  results.set('memory of the server (RSS), MiB', resident)
  results.set('memory of the server (PSS), MiB', proportional)
}

/** Follows one Service with many watches, and changes it. */
async function watchEvents({ server, effort, results, signal, say }: Bed): Promise<void> {
  const { watchers, watchedWrites } = effort
  const name = 'watched'
  await server.client.create(service(name), { signal })
  const stop = new AbortController()
  using _ = { [Symbol.dispose]: () => stop.abort() }
  const counts = Array.from({ length: watchers }, () => 0)

  async function write(): Promise<number> {
    const before = await server.read()
    for (let index = 0; index < watchedWrites; index += 1) {
      const turn = `${before.atMs.toFixed(0)}-${index}`
      await server.client.update(service(name, { turn }), { signal })
    }
    // What an event causes may take its time.
    await systemClock.sleep(1_000, { signal })
    return (await server.read()).cpuMs - before.cpuMs
  }

  const alone = await write()
  async function watch(index: number): Promise<void> {
    try {
      const events = server.client.watch('Service', { name, signal: AbortSignal.any([signal, stop.signal]) })
      for await (const _ of events) counts[index]! += 1
    } catch (error) {
      if (!stop.signal.aborted && !isFault(error)) throw error
    }
  }
  const watching = counts.map((_, index) => watch(index))
  while (counts.some((count) => count === 0)) await systemClock.sleep(50, { signal })
  const started = counts.reduce((sum, count) => sum + count, 0)
  const watched = await write()
  const events = counts.reduce((sum, count) => sum + count, 0) - started
  results.set('server CPU for each watch event, us', (1000 * Math.max(0, watched - alone)) / events)
  say(`${events} watch events`)
  stop.abort()
  await Promise.all(watching)
}

/** Runs a server and a fleet of `size`, step by step; `results` gets each number as it is measured. */
export async function measureFleet(
  size: Size,
  effort: Effort,
  results: Results,
  surroundings: Surroundings,
): Promise<void> {
  const { folder, signal } = surroundings
  const say = (progress: string) => surroundings.say(`${size.daemons} daemons: ${progress}`)
  await using stack = new AsyncDisposableStack()
  const cloud = stack.use(await openCloud())
  const server = stack.use(await startServer(folder, { exchangeCaPem: cloud.caPem, signal }))
  results.set('memory of the empty server (PSS), MiB', server.memory().proportional)
  say('joining')
  const before = await server.read()
  const fleet = stack.use(
    await joinFleet(server, { count: size.daemons, folder: join(folder, 'daemons'), signal }),
  )
  const joined = await server.read()
  results.set('daemons joined a second', (1000 * size.daemons) / (joined.atMs - before.atMs))
  results.set('server CPU for each join, ms', (joined.cpuMs - before.cpuMs) / size.daemons)
  const bed: Bed = { ...surroundings, say, size, effort, server, fleet, results }
  say('writing objects')
  await createObjects(bed, cloud.url)
  say('all daemons connect')
  await syncAll(bed)
  say('at rest')
  await rest(bed)
  await measureApplies(bed)
  say('watching')
  await watchEvents(bed)
  say('restarting')
  await reconnectAll(bed)
}
