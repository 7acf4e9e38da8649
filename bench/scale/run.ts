/**
 * `npm run bench:scale -- [--quick] [--daemons N] [--identities N] [--json FILE] [--minutes N]`: a real server
 * process, and daemons that speak the real protocol in a few others; once at a tenth of the size and once at the whole.
 */
import { writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { systemClock } from '#base/clock'
import { columns } from '../table.ts'
import { measureFleet, type Effort, type Results } from './measure.ts'
import type { Size } from './objects.ts'

const help = `usage: npm run bench:scale -- [OPTIONS]

Measures one server with many daemons: full sync, memory, CPU at rest, how fast a binding takes effect, the cost of
a watch event, the event loop's delay; at a tenth of the size and at the whole. Server and load share this machine.

  --daemons N      simulated daemons (1000)
  --identities N   workload identities, dealt out to the daemons; one in ten is bound (50000)
  --quick          10 daemons, 100 identities and few repetitions: half a minute
  --json FILE      writes every number to FILE
  --minutes N      gives up after so many minutes (15)
  --help           this text
`

const full: Effort = {
  applies: 300,
  sharedApplies: 100,
  newHosts: 5,
  watchers: 100,
  watchedWrites: 50,
  restSeconds: 20,
  settleSeconds: 60,
}
const quick: Effort = {
  applies: 5,
  sharedApplies: 2,
  newHosts: 1,
  watchers: 5,
  watchedWrites: 3,
  restSeconds: 1,
  settleSeconds: 20,
}

function refuse(why: string): never {
  process.stderr.write(`${why}\n\n${help}`)
  process.exit(2)
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        daemons: { type: 'string' },
        identities: { type: 'string' },
        quick: { type: 'boolean', default: false },
        json: { type: 'string' },
        minutes: { type: 'string', default: '15' },
        help: { type: 'boolean', default: false },
      },
    })
    return values
  } catch (error) {
    return refuse((error as Error).message)
  }
}

const values = readOptions()
if (values.help) {
  process.stdout.write(help)
  process.exit(0)
}
const whole = {
  daemons: Number(values.daemons ?? (values.quick ? 10 : 1_000)),
  identities: Number(values.identities ?? (values.quick ? 100 : 50_000)),
}
const minutes = Number(values.minutes)
if (!Number.isInteger(whole.daemons) || whole.daemons < 10) refuse('--daemons is a whole number from 10 up')
if (!Number.isInteger(whole.identities) || whole.identities < 10 * whole.daemons) {
  refuse('--identities is a whole number, at least ten for each daemon')
}
if (!(minutes > 0)) refuse('--minutes is a number above 0')

const stop = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort(new Error(name)))
const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(minutes * 60_000)])
const started = systemClock.monotonic()
const say = (progress: string) => {
  const seconds = ((systemClock.monotonic() - started) / 1000).toFixed(0)
  process.stderr.write(`${seconds.padStart(4)} s  ${progress}\n`)
}

function format(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return '-'
  return value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2)
}

function table(sizes: readonly Size[], runs: readonly Results[]): string {
  const [small, large] = runs as [Results, Results]
  const titles = sizes.map(({ daemons, identities }) => `${daemons} / ${identities}`)
  const rows = [...small].map(([name, before]) => {
    const after = large.get(name)
    const growth = after === undefined || before === 0 ? '' : `x ${format(after / before)}`
    return [name, format(before), format(after), growth]
  })
  return columns([['daemons / identities', ...titles, 'growth'], ...rows])
}

const tenth = { daemons: Math.floor(whole.daemons / 10), identities: Math.floor(whole.identities / 10) }
const folder = await mkdtemp(join(tmpdir(), 'tideway-scale-'))
const sizes = [tenth, whole]
const runs: readonly Results[] = [new Map(), new Map()]
try {
  for (const [index, size] of sizes.entries()) {
    const place = join(folder, String(index))
    await measureFleet(size, values.quick ? quick : full, runs[index]!, { folder: place, signal, say })
    await rm(place, { recursive: true })
  }
} catch (error) {
  process.exitCode = 1
  const why = signal.aborted ? (signal.reason as Error).message : (error as Error).stack
  process.stderr.write(`ended before its time: ${why}\n`)
} finally {
  await rm(folder, { recursive: true, force: true })
}
const machine = `${availableParallelism()} of ${cpus().length} cores (${cpus()[0]!.model}), load average ${loadavg()[0]!.toFixed(1)}`
process.stdout.write(`${machine}, Node ${process.versions.node}\n${table(sizes, runs)}\n`)
if (values.json !== undefined) {
  const measured = runs.map((results, index) => ({ ...sizes[index], results: Object.fromEntries(results) }))
  writeFileSync(values.json, `${JSON.stringify({ machine, measured }, null, 2)}\n`)
}
