import { spawn, type ChildProcess } from 'node:child_process'
import { openSync, closeSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { Fault } from '#base/errors'
import type { Clock } from '#base/clock'

const entry = path.resolve(import.meta.dirname, '../../../bin/tideway.ts')

/** The command line that starts this same program with this same runtime. */
export function ownCommand(args: readonly string[]): [command: string, args: string[]] {
  return [process.execPath, ['--disable-sigusr1', '--disable-warning=ExperimentalWarning', entry, ...args]]
}

/** A part of the stack: this program running as a process of its own, with its log in a file. */
export interface Child extends AsyncDisposable {
  readonly name: string
  readonly pid: number
  /** Rejects when the process ends before it was asked to; never resolves. */
  readonly failed: Promise<never>
}

const stopGraceMs = 5_000

function lastLines(file: string, count: number): string {
  return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-count).join('\n')
}

/**
 * Starts `tideway ARGS`. Disposal sends SIGTERM, then SIGKILL after five seconds, and waits for the end.
 * `input` is written to its standard input: the way for what must not stand in arguments.
 */
export function openChild({
  name,
  args,
  env,
  logFile,
  input,
  clock,
}: {
  name: string
  args: readonly string[]
  env: NodeJS.ProcessEnv
  logFile: string
  input?: string
  clock: Clock
}): Child {
  const log = openSync(logFile, 'a', 0o600)
  const [command, commandArgs] = ownCommand(args)
  // Its own process group, so that Ctrl-C on the terminal reaches only us, and we stop the parts in order.
  const child = spawn(command, commandArgs, { env, stdio: ['pipe', log, log], detached: true })
  closeSync(log)
  child.stdin?.on('error', () => {})
  child.stdin?.end(input)
  let stopping = false
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
  })
  const failed = ended.then(async (): Promise<never> => {
    if (stopping) return await new Promise<never>(() => {})
    throw new Fault(
      'INTERNAL',
      `${name} ended early (${describeEnd(child)}); the end of ${logFile}:\n${lastLines(logFile, 8)}`,
    )
  })
  failed.catch(() => {})
  return {
    name,
    pid: child.pid ?? 0,
    failed,
    async [Symbol.asyncDispose]() {
      stopping = true
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
      child.kill('SIGTERM')
      const late = new AbortController()
      const inTime = await Promise.race([
        ended.then(() => true),
        clock.sleep(stopGraceMs, { signal: late.signal }).then(
          () => false,
          () => true,
        ),
      ])
      late.abort()
      if (!inTime) child.kill('SIGKILL')
      await ended
    },
  }
}

function describeEnd({ exitCode, signalCode }: ChildProcess): string {
  return signalCode ? `signal ${signalCode}` : `exit code ${exitCode}`
}
