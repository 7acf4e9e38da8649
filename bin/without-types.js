// Preloaded into the daemon's main process: its modules come without types from a process that ends, because whoever
// strips them itself holds 20 MiB for the stripper as long as it runs. Should that fail, Node strips them as ever.
import { spawnSync } from 'node:child_process'
import { registerHooks } from 'node:module'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('../src/daemon/processes/strip.ts', import.meta.url))
const { status, stdout } = spawnSync(
  process.execPath,
  ['--disable-sigusr1', '--disable-warning=ExperimentalWarning', program],
  { stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 64 << 20 },
)
const sources = new Map(status === 0 ? JSON.parse(stdout.toString()) : [])
// For src/daemon/processes/javascript.ts, which gives its children theirs.
globalThis[Symbol.for('tideway.sources')] = sources
registerHooks({
  load(url, context, next) {
    const source = sources.get(url)
    return source === undefined ? next(url, context) : { format: 'module', source, shortCircuit: true }
  },
})
