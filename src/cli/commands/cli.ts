import type { Buffer } from 'node:buffer'
import type { Clock } from '#base/clock'
import type { Terminal } from '#cli/output'

/** What every command gets instead of reaching for the process. */
export interface Cli {
  readonly terminal: Terminal
  readonly env: NodeJS.ProcessEnv
  readonly clock: Clock
  /** All of standard input; rejects when `signal` aborts. */
  readonly readInput: () => Promise<Buffer>
  /** Aborts on Ctrl-C and SIGTERM. */
  readonly signal: AbortSignal
  /** A command whose work is done but not in the way of a fault (such as `run`) leaves its exit code here. */
  readonly setExitCode: (code: number) => void
}
