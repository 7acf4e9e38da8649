// Programs that watch the resource API and print what they are told.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { until } from '../system/stack/world.ts'
import type { ControlPlane } from './control-plane.ts'
import type { History } from './history.ts'
import { judge, judgeOutcome } from './judgement.ts'

export interface Watcher extends AsyncDisposable {
  readonly name: string
  readonly history: History
  /** As a history has it. */
  readonly seen: readonly string[]
  /** Times that it asked for all there is. */
  readonly lists: number
  pause(): void
  resume(): void
}

export interface WatcherOptions {
  readonly name: string
  readonly command: readonly string[]
  readonly history: History
  readonly env?: NodeJS.ProcessEnv
}

/** Resolves when it has listed. */
export async function startWatcher(
  plane: ControlPlane,
  { name, command: [file, ...args], history, env }: WatcherOptions,
): Promise<Watcher> {
  const seen: string[] = []
  let lists = 0
  const child = spawn(file!, args, {
    env: { ...process.env, KUBECONFIG: plane.kubeconfig, ...env },
    // It complains whenever the server is away.
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  const exited = once(child, 'exit')
  createInterface(child.stdout).on('line', (line) => {
    if (line.startsWith('list')) lists += 1
    else if (!line.startsWith('add end ')) seen.push(line)
  })
  await until(`${name} has listed`, () => {
    if (child.exitCode !== null) throw new Error(`${name} has ended with ${child.exitCode}`)
    return lists > 0
  })
  return {
    name,
    history,
    seen,
    get lists() {
      return lists
    },
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await exited
    },
  }
}

/** The Python client, of Secrets: `watch` is the loop of its documentation. */
export function pythonWatcher(
  { python, plane }: { python: string; plane: ControlPlane },
  { mode, namespace, secrets }: { mode: 'watch' | 'informer'; namespace: string; secrets: History },
): WatcherOptions {
  const script = path.join(import.meta.dirname, 'kubernetes_client.py')
  const name = mode === 'watch' ? 'a loop of the Python client' : 'an informer of the Python client'
  return { name, command: [python, script, mode, plane.kubeconfig, namespace], history: secrets }
}

export async function write(histories: readonly History[], count: number): Promise<void> {
  for (const history of histories) for (let left = count; left > 0; left -= 1) await history.write()
}

/** Resolves when each has seen what was written last. */
export async function untilSeen(watchers: readonly Watcher[], patienceSeconds: number): Promise<void> {
  for (const { name, history, seen } of watchers) {
    const last = history.written.at(-1)!
    // A Service may have got its state meanwhile.
    const [, named, step] = last.split(' ')
    const isLast = (line: string) =>
      line === last || (line.startsWith('update') && line.includes(` ${named} ${step} `))
    await until(`${name} has seen: ${last}`, () => seen.some(isLast), patienceSeconds)
  }
}

/** Ends the server in each of these ways while it is written to, starts it again, and judges what was seen. */
export async function judgeThroughEnds(
  t: TestContext,
  {
    plane,
    histories,
    watchers,
  }: { plane: ControlPlane; histories: readonly History[]; watchers: readonly Watcher[] },
  { ends, patienceSeconds }: { ends: readonly ('SIGKILL' | 'SIGTERM')[]; patienceSeconds: number },
): Promise<void> {
  for (const end of ends) {
    await write(histories, 12)
    await untilSeen(watchers, patienceSeconds)
    const writing = write(histories, 30)
    await delay(100)
    await plane.stop(end)
    await plane.start()
    await writing
  }
  await untilSeen(watchers, patienceSeconds)
  for (const { name, history, seen, lists } of watchers) {
    t.diagnostic(`${name}: ${seen.length} changes, ${lists} lists`)
    const found = lists === 1 ? judge(history, seen) : judgeOutcome(history, seen)
    assert.deepEqual(found, [], name)
  }
  assert.ok(watchers.some(({ lists }) => lists === 1))
}
