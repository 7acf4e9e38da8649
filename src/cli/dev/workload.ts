import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { symlinkSync } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import type { Clock, EpochMs } from '#base/clock'

/** Folder of the example that demo and instructions use. */
export const examples = path.resolve(import.meta.dirname, '../../../examples/aws-bedrock')

/** A program that calls Bedrock and knows nothing of Tideway. */
export interface WorkloadProgram {
  /** What the story says it is. */
  readonly description: string
  /** Absolute path of the interpreter, and the script it runs. */
  readonly interpreter: string
  readonly script: string
}

/** Python where there is one, else Node.js, which is always there: it is what we run on. */
export function findWorkloadProgram(env: NodeJS.ProcessEnv): WorkloadProgram {
  const python = spawnSync('python3', ['-c', 'import sys; print(sys.executable)'], { env, encoding: 'utf8' })
  const executable = python.status === 0 ? python.stdout.trim() : ''
  if (executable.startsWith('/')) {
    return {
      description: 'a Python script (urllib)',
      interpreter: executable,
      script: path.join(examples, 'agent.py'),
    }
  }
  return {
    description: 'a Node.js script (fetch)',
    interpreter: process.execPath,
    script: path.join(examples, 'agent.mjs'),
  }
}

/**
 * The command that runs the workload under the process name `name`: the kernel takes a process's name from the
 * path it was started by, so a symbolic link in `directory` gives it one.
 */
export function workloadCommand(program: WorkloadProgram, name: string, directory: string): string[] {
  const link = path.join(directory, name)
  symlinkSync(program.interpreter, link)
  return [link, program.script]
}

/** One answer that the workload saw: an HTTP status, or 0 with the reason why there was none. */
export interface Answer {
  /** When it was printed. */
  readonly at: EpochMs
  readonly status: number
  readonly text: string
}

/** A running workload: it prints one line per request, `STATUS TEXT`. */
export interface RunningWorkload extends AsyncDisposable {
  readonly pid: number
  readonly answers: readonly Answer[]
  /**
   * Resolves with the first answer from number `from` on that satisfies `wanted`; rejects when the workload ends
   * before, on abort, and after ten seconds.
   */
  next(what: string, wanted: (answer: Answer) => boolean, from?: number): Promise<Answer>
  /** Resolves with all answers when the workload has ended by itself. */
  ended(): Promise<readonly Answer[]>
}

const patienceMs = 10_000

export function runWorkload(
  command: readonly string[],
  { env, clock, signal }: { env: NodeJS.ProcessEnv; clock: Clock; signal: AbortSignal },
): RunningWorkload {
  const [file, ...args] = command
  const child: ChildProcess = spawn(file!, args, { env, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  const answers: Answer[] = []
  const listeners = new Set<() => void>()
  const complaints: string[] = []
  let over = false
  const changed = () => {
    for (const listener of listeners) listener()
  }
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    complaints.push(text)
    if (complaints.length > 50) complaints.shift()
  })
  const lines = createInterface({ input: child.stdout! })
  lines.on('line', (line) => {
    const [, status, text] = /^(\d+) (.*)$/.exec(line) ?? [undefined, '0', line]
    answers.push({ at: clock.now(), status: Number(status), text })
    changed()
  })
  const closed = new Promise<void>((resolve) => {
    const finish = () => {
      over = true
      changed()
      resolve()
    }
    child.once('close', finish)
    child.once('error', (error) => {
      complaints.push(error.message)
      finish()
    })
  })
  return {
    pid: child.pid ?? 0,
    answers,
    next: (what, wanted, from = 0) =>
      new Promise((resolve, reject) => {
        const enough = AbortSignal.any([signal, AbortSignal.timeout(patienceMs)])
        const finish = (settle: () => void) => {
          listeners.delete(look)
          enough.removeEventListener('abort', look)
          settle()
        }
        const look = () => {
          const found = answers.slice(from).find(wanted)
          const last = answers.at(-1)
          const seen = last ? `its last answer was ${last.status} ${last.text}` : 'it had no answer'
          if (found) finish(() => resolve(found))
          else if (over) finish(() => reject(new Error(`the workload ended: ${complaints.join('').trim()}`)))
          else if (enough.aborted) finish(() => reject(new Error(`the workload never saw ${what}: ${seen}`)))
        }
        listeners.add(look)
        enough.addEventListener('abort', look)
        look()
      }),
    async ended() {
      await closed
      if (answers.length === 0) throw new Error(`the workload got no answer: ${complaints.join('').trim()}`)
      return answers
    },
    async [Symbol.asyncDispose]() {
      if (!over) child.kill('SIGTERM')
      await closed
    },
  }
}
