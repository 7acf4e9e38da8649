// What is printed: a line now and then, and a table at the end.
import type { Books } from './books.ts'
import type { Watched } from './informers.ts'
import type { Outcomes } from './outcomes.ts'
import type { Done } from './storm.ts'
import type { Sample, Trends } from './vitals.ts'

/** What was counted. */
export class Tally {
  outcomes: Outcomes | undefined
  books: Books | undefined
  watched: Watched | undefined
  vitals: readonly Sample[] = []
  /** Of the last phase, without its beginning. */
  trends: Trends | undefined
  /** Looks while nothing was under way: after the storm, and at the end. */
  atRest: readonly [readonly Sample[], readonly Sample[]] | undefined
  workloadsKilled = 0
  /** Times that this process had to wait for more than a second for its turn. */
  stalls = 0
  readonly deeds = new Map<string, { count: number; longest: number }>()

  done({ what, seconds }: Done): void {
    const { count, longest } = this.deeds.get(what) ?? { count: 0, longest: 0 }
    this.deeds.set(what, { count: count + 1, longest: Math.max(longest, seconds) })
  }

  get deedCount(): number {
    return [...this.deeds.values()].reduce((sum, { count }) => sum + count, 0)
  }
}

export function printProgress(phase: string, seconds: number, tally: Tally): void {
  const { outcomes, books, vitals } = tally
  const parts = vitals.map(({ name, rssMib, descriptors }) => `${name} ${rssMib.toFixed(0)}M/${descriptors}`)
  const counts = [
    `${outcomes?.good} ok`,
    `${outcomes?.excused} excused`,
    `cloud saw ${books?.signed} signed ${books?.unsigned} not`,
    `${books?.starts} records`,
    `${tally.deedCount} deeds`,
  ]
  console.log(`${phase} ${seconds.toFixed(0)} s: ${counts.join(', ')}; ${parts.join(', ')}`)
}

function printTable(title: string, rows: readonly (readonly [string, string])[]): void {
  console.log(`\n${title}`)
  const width = Math.max(0, ...rows.map(([name]) => name.length))
  for (const [name, text] of rows.toSorted(([a], [b]) => (a < b ? -1 : 1)))
    console.log(`  ${name.padEnd(width)}  ${text}`)
}

const signed = (value: number, digits: number) => `${value < 0 ? '' : '+'}${value.toFixed(digits)}`

function printFlatness({ trends, atRest }: Tally): void {
  printTable(
    'Memory and descriptors while nothing of ours was killed: from first to last look, and slope',
    (trends?.told() ?? []).map(({ name, pid, minutes, first, last, rssMibPerHour, descriptorsPerHour }) => [
      `${name} ${pid}`,
      `${minutes.toFixed(0)} min: ${first.rssMib.toFixed(0)} to ${last.rssMib.toFixed(0)} MiB, ${signed(rssMibPerHour, 1)} an hour; ` +
        `${first.descriptors} to ${last.descriptors} descriptors, ${signed(descriptorsPerHour, 1)} an hour`,
    ]),
  )
  const [before = [], after = []] = atRest ?? []
  printTable(
    'Descriptors with nothing under way: before and after',
    after.map(({ name, pid, descriptors }) => [
      `${name} ${pid}`,
      `${before.find((sample) => sample.pid === pid)?.descriptors} to ${descriptors}`,
    ]),
  )
}

export function printSummary(tally: Tally): void {
  const { outcomes, books, watched, deeds, workloadsKilled, stalls } = tally
  printTable(
    'Requests, and what came of them',
    [...(outcomes?.counts ?? [])].map(([kind, counts]) => [
      kind,
      [...counts]
        .sort(([, a], [, b]) => b - a)
        .map(([outcome, count]) => `${outcome}: ${count}`)
        .join(', '),
    ]),
  )
  printTable(
    'What was done, and the longest until all was well',
    [...deeds].map(([what, { count, longest }]) => [what, `${count} times, ${longest.toFixed(1)} s`]),
  )
  console.log(`  and ${workloadsKilled} workloads killed; the machine stood still ${stalls} times`)
  printTable('The cloud and the audit trail', [
    ['seen signed', String(books?.signed)],
    ['seen unsigned', String(books?.unsigned)],
    ['start records', String(books?.starts)],
    ['of them, broken on the way to the cloud', String(books?.lost().length)],
    ['answered, and not seen and recorded once each', String(books?.unequal().length)],
    ['end records', String(books?.ends)],
  ])
  printTable('Informers', [['changes written, and seen once each', String(watched?.changes)]])
  printFlatness(tally)
}
