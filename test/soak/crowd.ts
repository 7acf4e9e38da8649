// The processes that make requests: started, killed, and started again.
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import type { Random } from '../fuzz/random.ts'
import { python } from '../system/stack/world.ts'
import { bound, stranger, type Stage } from './stage.ts'

/** What a workload says of one request. Times in seconds since 1970. */
export interface Report {
  readonly what: string
  readonly label: string
  readonly method: string
  readonly path: string
  /** HTTP status, with the code of a refusal of ours; or why there was no answer. */
  readonly outcome: string
  readonly detail?: string
  readonly since: number
  readonly until: number
}

/** What the nursery says of a process of its own. */
interface Ended {
  /** The slot. */
  readonly ended: number
  /** The exit code, or the number of the signal below zero. */
  readonly how: number
}

export interface Crowd {
  /** Kills one after the other, each of which is replaced, until abort; resolves with how many. */
  killUntil(signal: AbortSignal, options: { random: Random; everySeconds: number }): Promise<number>
  /** Lets all come to their end; rejects when one does not. */
  stop(signal: AbortSignal): Promise<void>
}

/** All at once they would keep a small machine from everything else. */
const startEveryMs = 50
const labels = ['alpha', 'beta', 'alpha', stranger.label, 'gamma', 'alpha', stranger.label, 'beta']
const bySigkill = -9

export function startCrowd({
  stage,
  processes,
  pauseSeconds,
  random,
  onReport,
  onBroken,
}: {
  stage: Stage
  processes: number
  /** Of each process, on average, between two requests. */
  pauseSeconds: number
  random: Random
  onReport: (report: Report) => void
  onBroken: (what: string) => void
}): Crowd {
  const nursery = stage.world.place.start('crowd', [python, stage.nursery, stage.trust])
  const exited = once(nursery, 'exit')
  const ask = (...words: (string | number)[]) => void nursery.stdin!.write(`${words.join(' ')}\n`)
  const living = new Set<number>()
  const killed = new Set<number>()
  let stopping = false

  function start(slot: number): void {
    const label = labels[slot % labels.length]!
    living.add(slot)
    ask('start', slot, bound.get(label) ?? stranger.uid, label, random.below(2 ** 32), pauseSeconds)
  }
  function onEnded({ ended, how }: Ended): void {
    living.delete(ended)
    const isKilled = killed.delete(ended) && how === bySigkill
    if (!isKilled && !stopping) onBroken(`workload p${ended} ended by itself: ${how}`)
    if (!stopping) start(ended)
  }
  createInterface(nursery.stdout!).on('line', (line) => {
    const said = JSON.parse(line) as Report | Ended | { broken: string }
    if ('broken' in said) onBroken(said.broken)
    else if ('ended' in said) onEnded(said)
    else onReport(said)
  })
  nursery.once('exit', (code, signal) => {
    if (!stopping || code !== 0) onBroken(`the nursery ended: ${code ?? signal}`)
  })
  const startAll = async () => {
    for (let slot = 0; slot < processes; slot += 1) {
      if (stopping) return
      start(slot)
      await delay(startEveryMs)
    }
  }
  void startAll()

  return {
    async killUntil(signal, { random, everySeconds }) {
      let count = 0
      for (;;) {
        await delay(random.below(2_000 * everySeconds), undefined, { signal }).catch(() => {})
        if (signal.aborted) return count
        const candidates = [...living].filter((slot) => !killed.has(slot))
        if (candidates.length === 0) continue
        const slot = random.pick(candidates)
        killed.add(slot)
        ask('kill', slot)
        count += 1
      }
    },
    async stop(signal) {
      stopping = true
      nursery.stdin!.end()
      await Promise.race([
        exited,
        once(signal, 'abort').then(() => Promise.reject(new Error('workloads do not come to their end'))),
      ])
    },
  }
}
