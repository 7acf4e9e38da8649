// What is printed: a line now and then, and a table at the end.
import type { Books } from './books.ts'
import type { Outcomes } from './outcomes.ts'
import type { Done } from './storm.ts'
import type { Sample } from './vitals.ts'

/** What was counted. */
export class Tally {
  outcomes: Outcomes | undefined
  books: Books | undefined
  vitals: readonly Sample[] = []
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

export function printSummary({ outcomes, books, deeds, workloadsKilled, stalls }: Tally): void {
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
    ['end records', String(books?.ends)],
  ])
}
