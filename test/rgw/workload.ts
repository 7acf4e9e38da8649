import { spawn } from 'node:child_process'
import path from 'node:path'
import process from 'node:process'
import { createInterface } from 'node:readline'
import { runCommand, type Result } from './command.ts'
import type { Tideway } from './tideway.ts'

const scripts = path.join(import.meta.dirname, 'workloads')

/** Uids of processes; none needs an account. */
export const uids = { workload: 61_001, stranger: 61_002 } as const

/** A line of flow.py. */
export interface Answer {
  /** 0: none came. */
  readonly status: number
  readonly text: string
}

export interface Flow extends AsyncDisposable {
  readonly answers: readonly Answer[]
}

/** How processes of one uid are started so that their connections are captured. They hold no credential. */
export function workloads(tideway: Pick<Tideway, 'enclose'>, uid: number, home: string) {
  const env = { PATH: '/usr/bin:/bin', HOME: home, LANG: 'C.UTF-8' }
  const options = { env, cwd: home, uid, gid: uid }
  const script = (name: string) => path.join(scripts, name)
  return {
    curl: async (...args: readonly string[]): Promise<Result> =>
      await runCommand(tideway.enclose(['/usr/bin/curl', '-sS', ...args]), options),
    python: async (name: string, ...args: readonly string[]): Promise<Result> =>
      await runCommand(tideway.enclose(['/usr/bin/python3', script(name), ...args]), options),
    shell: async (name: string, ...args: readonly string[]): Promise<Result> =>
      await runCommand(tideway.enclose(['/bin/sh', script(name), ...args]), options),
    node: async (name: string, ...args: readonly string[]): Promise<Result> =>
      await runCommand(tideway.enclose([process.execPath, script(name), ...args]), options),
    /** Gets `url` without pause until disposal. */
    flow(url: string): Flow {
      const [file, ...args] = tideway.enclose(['/usr/bin/python3', script('flow.py'), url])
      const child = spawn(file!, args, { ...options, stdio: ['ignore', 'pipe', 'inherit'] })
      const answers: Answer[] = []
      createInterface({ input: child.stdout }).on('line', (line) => {
        answers.push({ status: Number(line.split(' ')[0]), text: line })
      })
      const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
      return {
        answers,
        async [Symbol.asyncDispose]() {
          child.kill('SIGTERM')
          await ended
        },
      }
    },
  }
}
