// Memory and descriptors of the long-lived processes, and what the workers hold.
import { readdirSync, readFileSync } from 'node:fs'
import type { World } from '../system/stack/world.ts'

export interface Sample {
  readonly name: string
  readonly pid: number
  readonly rssMib: number
  readonly descriptors: number
}

function sample(name: string, pid: number): Sample | undefined {
  try {
    const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
    return { name, pid, rssMib: Number(kib) / 1024, descriptors: readdirSync(`/proc/${pid}/fd`).length }
  } catch {
    return undefined // it is being replaced
  }
}

function childrenOf(world: World): ReturnType<World['daemonChildren']> | undefined {
  try {
    return world.daemonChildren()
  } catch {
    return undefined
  }
}

/** Of every process that is there for long. */
export function takeVitals(world: World): Sample[] {
  const { server, daemon } = world
  const children = childrenOf(world)
  const named: [string, number | undefined][] = [
    ['server', server.pid],
    ['daemon', daemon.pid],
    ['attestor', children?.attestor],
    ...(children?.workers ?? []).map((pid): [string, number] => ['worker', pid]),
  ]
  return named.flatMap(([name, pid]) => (pid === undefined ? [] : (sample(name, pid) ?? [])))
}

/** What may come on top between two looks: caches that fill, and what the collector has not looked at yet. */
const slack = { descriptors: 8, rssFactor: 1.3, rssMib: 48 }

function compare(
  [before, after]: readonly [readonly Sample[], readonly Sample[]],
  hasGrown: (then: Sample, now: Sample) => boolean,
  tell: (sample: Sample) => string,
): string[] {
  return after.flatMap((now) => {
    const then = before.find(({ pid }) => pid === now.pid)
    if (!then) return [`${now.name} ${now.pid} is new although nobody killed one`]
    return hasGrown(then, now) ? [`${now.name} ${now.pid} had ${tell(then)}, and now ${tell(now)}`] : []
  })
}

/** Whose memory has grown, between two looks under the same load, as sentences. */
export function grownMemory(before: readonly Sample[], after: readonly Sample[]): string[] {
  const hasGrown = (then: Sample, now: Sample) => now.rssMib > then.rssMib * slack.rssFactor + slack.rssMib
  return compare([before, after], hasGrown, ({ rssMib }) => `${rssMib.toFixed(0)} MiB`)
}

/** Who has more open files, between two looks while nothing was under way, as sentences. */
export function grownDescriptors(before: readonly Sample[], after: readonly Sample[]): string[] {
  const hasGrown = (then: Sample, now: Sample) => now.descriptors > then.descriptors + slack.descriptors
  return compare([before, after], hasGrown, ({ descriptors }) => `${descriptors} descriptors`)
}

/** How a number went over an hour, by least squares over all looks. */
export interface Trend {
  readonly name: string
  readonly pid: number
  readonly minutes: number
  readonly first: Sample
  readonly last: Sample
  readonly rssMibPerHour: number
  readonly descriptorsPerHour: number
}

/** @param points time in hours, and the number */
function slope(points: readonly (readonly [number, number])[]): number {
  const mean = (pick: 0 | 1) => points.reduce((sum, point) => sum + point[pick], 0) / points.length
  const [meanTime, meanNumber] = [mean(0), mean(1)]
  let [covariance, variance] = [0, 0]
  for (const [time, number] of points) {
    covariance += (time - meanTime) * (number - meanNumber)
    variance += (time - meanTime) ** 2
  }
  return variance === 0 ? 0 : covariance / variance
}

/** What was seen of the processes that lived to the last look. */
export class Trends {
  readonly #looks: { readonly at: number; readonly samples: readonly Sample[] }[] = []

  /** @param at in milliseconds, of a clock that only goes forward */
  take(at: number, samples: readonly Sample[]): void {
    this.#looks.push({ at, samples })
  }

  told(): Trend[] {
    return (this.#looks.at(-1)?.samples ?? []).map((last) => {
      const seen = this.#looks.flatMap(({ at, samples }) => {
        const sample = samples.find(({ pid }) => pid === last.pid)
        return sample ? [{ hours: at / 3_600_000, sample }] : []
      })
      const over = (pick: (sample: Sample) => number) =>
        slope(seen.map(({ hours, sample }) => [hours, pick(sample)]))
      return {
        name: last.name,
        pid: last.pid,
        minutes: (seen.at(-1)!.hours - seen[0]!.hours) * 60,
        first: seen[0]!.sample,
        last,
        rssMibPerHour: over(({ rssMib }) => rssMib),
        descriptorsPerHour: over(({ descriptors }) => descriptors),
      }
    })
  }
}
