// A workload that a test drives step by step.
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

/** What came of one action: an HTTP status, 0 when there was no answer; how long it took. */
export interface Outcome {
  readonly status?: number
  readonly text?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Name of the exception in the workload, or `closed`. */
  readonly error?: string
  readonly detail?: string
  readonly seconds: number
  /** CLOCK_MONOTONIC, in seconds. */
  readonly at?: number
  readonly answers?: readonly FlowAnswer[]
  readonly connections?: number
}

export interface FlowAnswer {
  readonly number: number
  /** HTTP status, or why there was none. */
  readonly outcome: number | string
  /** CLOCK_MONOTONIC, in seconds. */
  readonly begun: number
  readonly at: number
}

export interface Workload extends AsyncDisposable {
  readonly pid: number
  /** Runs one action of workload.py. */
  do(action: string, parameters?: object): Promise<Outcome>
  /** Asks for `path` over the kept connection `id`, or over one of its own. */
  ask(host: string, path: string, id?: string): Promise<Outcome>
  /** Becomes another program and goes on from there. */
  become(program: string, id?: string): Promise<void>
}

/** Takes over a started workload.py. */
export async function driveWorkload(child: ChildProcess): Promise<Workload> {
  const lines = createInterface(child.stdout!)[Symbol.asyncIterator]()
  const nextLine = async (): Promise<unknown> => {
    const { value, done } = await lines.next()
    if (done) throw new Error('the workload has ended')
    return JSON.parse(value)
  }
  const tell = (action: string, parameters: object) =>
    void child.stdin!.write(`${JSON.stringify({ do: action, ...parameters })}\n`)
  const { pid } = (await nextLine()) as { pid: number }
  const run = async (action: string, parameters: object = {}) => {
    tell(action, parameters)
    return (await nextLine()) as Outcome
  }
  return {
    pid,
    do: run,
    ask: (host, path, id) => run('request', { host, path, ...(id !== undefined && { id }) }),
    async become(program, id) {
      tell('execute', { program, id })
      await nextLine()
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const exited = once(child, 'exit')
      child.kill('SIGKILL')
      await exited
    },
  }
}
