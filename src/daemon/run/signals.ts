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
 * Stands in for a child until it ends: signals sent to us go to it, and nothing else is done about them. What the
 * keys of a terminal send reaches the child by itself, as it is in our process group. Gives its exit code, 127 or
 * 126 when it could not be started.
 */
export async function standInFor(child: ChildProcess): Promise<number> {
  const handlers = passed.map((name) => {
    const others = process.listeners(name)
    process.removeAllListeners(name)
    const handler = () => {
      if (!(ofTerminal.has(name) && process.stdin.isTTY)) child.kill(name)
    }
    process.on(name, handler)
    return { name, handler, others }
  })
  try {
    return await new Promise<number>((resolve) => {
      child.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code === 'ENOENT' ? 127 : 126))
      child.once('exit', (code, signal) => resolve(exitCodeOf(code, signal)))
    })
  } finally {
    for (const { name, handler, others } of handlers) {
      process.off(name, handler)
      for (const other of others) process.on(name, other as NodeJS.SignalsListener)
    }
  }
}
