import { spawn } from 'node:child_process'
import { once } from 'node:events'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

/** What the first start of a node has attached: taken back unless it is kept. */
export interface FirstAttachment {
  readonly keep: () => void
  /** Resolves when nothing is attached any more. */
  readonly takeBack: () => Promise<void>
}

const child = fileURLToPath(new URL('./first-attachment-child.ts', import.meta.url))

/**
 * Leaves a child behind that releases capture at `pinDirectory` when we end without having kept it, however that
 * is. SECURITY: it stays root when we are so no longer, so all that it reads is whether we say `keep`.
 */
export function openFirstAttachment(pinDirectory: string): FirstAttachment {
  const node = ['--disable-sigusr1', '--disable-warning=ExperimentalWarning', child, pinDirectory]
  const keeper = spawn(process.execPath, node, { stdio: ['pipe', 'ignore', 'inherit'], env: {}, cwd: '/' })
  keeper.stdin.on('error', () => {})
  const ended = once(keeper, 'exit')
  return {
    keep: () => void keeper.stdin.end('keep'),
    async takeBack() {
      keeper.stdin.end()
      await ended
    },
  }
}
