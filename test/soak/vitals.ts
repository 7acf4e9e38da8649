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
