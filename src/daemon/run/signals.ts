import type { ChildProcess } from 'node:child_process'
import { constants } from 'node:os'
import process from 'node:process'

const passed: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGINT', 'SIGQUIT']
const ofTerminal: ReadonlySet<NodeJS.Signals> = new Set(['SIGINT', 'SIGQUIT'])

/** Exit code of a process as shells count it. */
export function exitCodeOf(code: number | null, signal: NodeJS.Signals | null): number {
  return code ?? 128 + (signal === null ? 0 : constants.signals[signal])
}

/**
 * Starts a child and stands in for it until it ends: signals sent to us go to it, and nothing else is done about
 * them. What the keys of a terminal send reaches the child by itself, as it is in our process group. Gives its exit
 * code; 127 or 126 when it could not be started, which `say` is told.
 */
export async function standInFor(
  start: () => ChildProcess,
  say: (text: string) => void = () => {},
): Promise<number> {
  let child: ChildProcess | undefined
  // Ours come before the child and before those that they replace go: no signal falls in between.
  const handlers = passed.map((name) => {
    const others = process.listeners(name) as NodeJS.SignalsListener[]
    const handler = () => {
      if (!(ofTerminal.has(name) && process.stdin.isTTY)) child?.kill(name)
    }
    process.on(name, handler)
    for (const other of others) process.off(name, other)
    return { name, handler, others }
  })
  try {
    const started = (child = start())
    return await new Promise<number>((resolve) => {
      started.once('error', ({ code, message }: NodeJS.ErrnoException) => {
        const missing = code === 'ENOENT'
        say(missing ? `${started.spawnfile}: command not found` : `${started.spawnfile}: ${message}`)
        resolve(missing ? 127 : 126)
      })
      started.once('exit', (code, signal) => resolve(exitCodeOf(code, signal)))
    })
  } finally {
    for (const { name, handler, others } of handlers) {
      for (const other of others) process.on(name, other)
      process.off(name, handler)
    }
  }
}
