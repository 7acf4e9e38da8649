import type { Clock } from '#base/clock'
import type { Terminal } from '#cli/output'

export interface DevOptions {
  readonly terminal: Terminal
  readonly env: NodeJS.ProcessEnv
  readonly clock: Clock
  readonly signal: AbortSignal
}
