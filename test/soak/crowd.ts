// The processes that make requests: started, killed, and started again.
import type { ChildProcess } from 'node:child_process'
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
  readonly path: string
  /** HTTP status, with the code of a refusal of ours; or why there was no answer. */
  readonly outcome: string
  readonly detail?: string
  readonly since: number
  readonly until: number
}

export interface Crowd {
  /** Kills one after the other, each of which is replaced, until abort; resolves with how many. */
  killUntil(signal: AbortSignal, options: { random: Random; everySeconds: number }): Promise<number>
  /** Lets all come to their end; rejects when one does not. */
  stop(signal: AbortSignal): Promise<void>
}

/** All at once they would keep a small machine from everything else. */
const startEveryMs = 150
const labels = ['alpha', 'beta', 'alpha', stranger.label, 'gamma', 'alpha', stranger.label, 'beta']

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
  const { world, script, trust } = stage
  const members: ChildProcess[] = []
  const killed = new Set<ChildProcess>()
  let stopping = false

  function start(slot: number): void {
    const label = labels[slot % labels.length]!
    const uid = bound.get(label) ?? stranger.uid
    const become = ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups']
    const command = [
      ...become,
      python,
      script,
      trust,
      label,
      `p${slot}`,
      String(random.below(2 ** 32)),
      String(pauseSeconds),
    ]
    const child = world.place.start('crowd', command)
    members[slot] = child
    createInterface(child.stdout!).on('line', (line) => {
      const said = JSON.parse(line) as Report | { broken: string }
      if ('broken' in said) onBroken(said.broken)
      else onReport(said)
    })
    child.once('exit', (code, signal) => {
      const isKilled = killed.delete(child)
      if (!isKilled && !stopping) onBroken(`workload p${slot} ended by itself: ${code ?? signal}`)
      if (!stopping) start(slot)
    })
  }
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
        const child = random.pick(members)
        killed.add(child)
        child.kill('SIGKILL')
        count += 1
      }
    },
    async stop(signal) {
      stopping = true
      const living = members.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null)
      for (const child of living) child.stdin!.end()
      await Promise.all(living.map((child) => once(child, 'exit', { signal })))
    },
  }
}
