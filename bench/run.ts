/**
 * `npm run bench -- [--quick [--limit N]] [--only memory|accept] [--peers NAME,...] [--json FILE] [--rounds N] [--seconds N]`, as root on Linux
 * with kernel capture: CPU of the daemon that signs, against proxies of Debian that only forward, in rounds of random
 * order, paired within each.
 * `--only memory` and `--only accept` measure that alone.
 * `--quick` looks at small requests against nginx alone and fails beyond `--limit` times its CPU. Installs nothing.
 */
import { writeFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { systemClock } from '#base/clock'
import { measureAccept, toldAccept } from './accept.ts'
import { allCells, quickCell, type Cell } from './cells.ts'
import { makeHandshakes, sendRequests, warmUp, type Source } from './load.ts'
import { measureMemory, toldMemory } from './memory.ts'
import {
  peerNames,
  requireProgram,
  startPeer,
  startUpstream,
  type Candidate,
  type PeerName,
} from './peers.ts'
import { cores, openPlace, type Place } from './place.ts'
import { columns, median, spread } from './table.ts'
import { startTideway, type Tideway } from './tideway.ts'
import { openTunnel } from './tunnel.ts'
import { cpuMicros, treeOf } from './usage.ts'

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    json: { type: 'string' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    limit: { type: 'string', default: '2.5' },
    peers: { type: 'string', default: peerNames.join(',') },
  },
})
const rounds = Number(values.rounds ?? (values.quick ? 7 : 5))
const seconds = Number(values.seconds ?? (values.quick ? 1 : 2))
const limit = Number(values.limit)
if (values.only !== undefined && values.only !== 'memory' && values.only !== 'accept')
  throw new TypeError('--only is memory or accept')
if (!(seconds >= 1) || !(rounds >= 1)) throw new TypeError('--seconds and --rounds are numbers from 1 up')

/** One measurement: CPU in the unit of its cell. */
interface Sample {
  readonly cell: string
  readonly candidate: string
  readonly round: number
  readonly cpu: number
  /** Of that, in processes that carry connections; the rest ships audit records. */
  readonly servingCpu?: number
  readonly perSecond: number
  readonly p50Ms?: number
  readonly p99Ms?: number
}

/** A daemon's housekeeping of what was just measured, such as shipping records, counts too. */
const settleMs = 500

interface Bed {
  readonly place: Place
  readonly upstream: number
  readonly tideway: Tideway
  readonly candidates: readonly Candidate[]
}

async function measure(
  { place, upstream, tideway }: Bed,
  candidate: Candidate,
  cell: Cell,
  round: number,
): Promise<Sample> {
  const source: Source = { place, cgroup: candidate === tideway ? tideway.cgroup : undefined }
  await using tunnel = candidate.tunnelled ? await openTunnel(candidate.port, upstream) : undefined
  const port = tunnel?.port ?? candidate.port
  const spent = () => cpuMicros(treeOf(candidate.pid))
  const serving = () => (candidate === tideway ? cpuMicros(tideway.workers) : 0)
  const before = { all: spent(), serving: serving() }
  const { load, mib } = cell
  const result =
    'handshakes' in load
      ? { requests: await makeHandshakes(source, port, load.seconds), seconds: load.seconds }
      : await sendRequests(source, { name: candidate.name, port }, upstream, load)
  await systemClock.sleep(settleMs)
  const { requests, seconds: duration, ...latency } = result
  const amount = requests * mib
  return {
    cell: cell.name,
    candidate: candidate.name,
    round,
    cpu: (spent() - before.all) / amount,
    ...(candidate === tideway && { servingCpu: (serving() - before.serving) / amount }),
    perSecond: amount / duration,
    ...latency,
  }
}

function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, at: Math.random() }))
    .sort((one, other) => one.at - other.at)
    .map(({ item }) => item)
}

async function measureAll(bed: Bed, cells: readonly Cell[]): Promise<Sample[]> {
  const samples: Sample[] = []
  // Once without counting: code that runs for the first time is not yet compiled.
  for (const cell of cells) await measure(bed, bed.tideway, cell, -1)
  for (let round = 0; round < rounds; round += 1) {
    for (const cell of cells) {
      const able = bed.candidates.filter(({ name }) => !cell.without?.some((peer) => peer === name))
      for (const candidate of shuffled(able)) samples.push(await measure(bed, candidate, cell, round))
    }
    process.stderr.write(`round ${round + 1} of ${rounds}\n`)
  }
  return samples
}

/** Ours over the peer's, round by round. */
function ratios(samples: readonly Sample[], cell: Cell, peer: string): number[] {
  const of = (candidate: string) =>
    samples.filter((sample) => sample.cell === cell.name && sample.candidate === candidate)
  const theirs = of(peer)
  return of('tideway').flatMap(({ round, cpu }) => {
    const match = theirs.find((sample) => sample.round === round)
    return match ? [cpu / match.cpu] : []
  })
}

function table(samples: readonly Sample[], cells: readonly Cell[], peers: readonly string[]): string {
  const header = [
    'CPU',
    'unit',
    'tideway',
    'of it serving',
    ...peers,
    ...peers.map((peer) => `x ${peer} (goal)`),
  ]
  const rows = cells.map((cell) => {
    const cpu = (candidate: string, pick: (sample: Sample) => number | undefined = (sample) => sample.cpu) =>
      samples
        .filter((sample) => sample.cell === cell.name && sample.candidate === candidate)
        .flatMap((sample) => pick(sample) ?? [])
    const told = (numbers: readonly number[]) => (numbers.length === 0 ? '-' : median(numbers).toFixed(0))
    const against = (peer: string) => {
      const paired = ratios(samples, cell, peer)
      if (paired.length === 0) return '-'
      const goal = cell.goals[peer as PeerName]
      return `${spread(paired, 2)}${goal === undefined ? '' : ` (${goal.toFixed(2)})`}`
    }
    return [
      cell.name,
      cell.unit,
      told(cpu('tideway')),
      told(cpu('tideway', ({ servingCpu }) => servingCpu)),
      ...peers.map((peer) => told(cpu(peer))),
      ...peers.map(against),
    ]
  })
  return columns([header, ...rows])
}

function conditions(): string {
  return [
    `Tideway signs every request; peers add a header of that length and only forward. One serving process or thread each,`,
    `on core ${cores.measured}; wrk, openssl s_time and the upstream (nginx) on core ${cores.load}. ${rounds} rounds of random order, ${seconds} s a cell and more for large`,
    `bodies; medians, and ratios paired within a round as median [least..most]. CPU: all threads of all processes of a`,
    `candidate, from schedstat. TLS 1.3 with AES-256-GCM on both legs. Node ${process.version}, ${cpus()[0]?.model}, ${availableParallelism()} cores,`,
    `load average ${loadavg()[0]!.toFixed(1)} at the start: differences under 20 % are noise.`,
  ].join('\n')
}

async function run(): Promise<void> {
  if (process.getuid!() !== 0)
    throw new Error('the bench needs root: connections are captured in the kernel, as on a node')
  for (const [program, debianPackage] of [
    ['wrk', 'wrk'],
    ['openssl', 'openssl'],
    ['nginx', 'nginx'],
  ] as const)
    requireProgram(program, debianPackage)
  const named = values.peers.split(',')
  const peers: readonly PeerName[] = values.quick
    ? ['nginx']
    : peerNames.filter((name) => named.includes(name))
  const cells = values.quick ? [quickCell] : allCells(seconds)
  if (values.only === 'accept') return console.log(toldAccept(await measureAccept()))
  await using place = openPlace()
  const upstream = await startUpstream(place)
  if (values.only === 'memory') return console.log(toldMemory(await measureMemory(place, upstream)))
  console.log(`${conditions()}\n`)
  const started: Candidate[] = []
  for (const peer of peers) started.push(await startPeer(peer, place, upstream))
  let samples: Sample[]
  {
    await using tideway = await startTideway(place, upstream, { workers: 1 })
    const bed = { place, upstream, tideway, candidates: [tideway, ...started] }
    await warmUp({ place, cgroup: tideway.cgroup }, tideway, upstream)
    samples = await measureAll(bed, cells)
  }
  console.log(table(samples, cells, peers))
  const memory = values.quick ? undefined : await measureMemory(place, upstream)
  if (memory) console.log(`\n${toldMemory(memory)}`)
  const accept = values.quick ? undefined : await measureAccept()
  if (accept) console.log(`\n${toldAccept(accept)}`)
  if (values.json !== undefined)
    writeFileSync(values.json, `${JSON.stringify({ samples, memory, accept }, undefined, 2)}\n`)
  if (!values.quick) return
  const ratio = median(ratios(samples, quickCell, 'nginx'))
  if (ratio <= limit) return
  console.error(
    `small signed requests take ${ratio.toFixed(2)} times the CPU of nginx: at most ${limit} may land`,
  )
  process.exitCode = 1
}

await run()
