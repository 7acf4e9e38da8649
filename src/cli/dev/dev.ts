import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import path from 'node:path'
import { Fault } from '#base/errors'
import { untilAborted } from '#base/lifecycle'
import { contextFilePath, loadContexts, removeContext, saveContext, useContext } from '#cli/context'
import { planLayout } from './layout.ts'
import type { DevOptions } from './options.ts'
import { cloudHosts } from './private-host.ts'
import { exampleNames, openStack } from './stack.ts'
import { claimStateFolder } from './state-folder.ts'
import { findWorkloadProgram, workloadCommand } from './workload.ts'

/** Settings of a development stack that the user plays with. */
export interface DevSettings {
  readonly stateDir?: string | undefined
  /** Further names to dial elsewhere: `HOST:PORT=ADDR:PORT`. */
  readonly connectTo: readonly string[]
  /** PEM file of a CA to trust for them, beside the emulator's. */
  readonly upstreamCa?: string | undefined
}

function defaultStateDir(env: NodeJS.ProcessEnv): string {
  // Root's home is closed to the user as whom the daemon serves.
  if (process.getuid!() === 0) return '/var/lib/tideway/dev'
  return path.join(env['XDG_STATE_HOME'] ?? path.join(homedir(), '.local/state'), 'tideway', 'dev')
}

/** Runs the stack on loopback until interrupted; the user's context file names it meanwhile. */
export async function runDev(options: DevOptions, settings: DevSettings): Promise<number> {
  const { terminal, env, clock, signal } = options
  const base = path.resolve(settings.stateDir ?? defaultStateDir(env))
  const upstreamCa = settings.upstreamCa === undefined ? undefined : readCa(settings.upstreamCa)
  const file = contextFilePath(env)
  const before = loadContexts(file).current
  using _claim = await claimStateFolder(base)
  const layout = await planLayout(base, { usualPorts: true })
  const connectTo = [
    ...cloudHosts.map((host) => `${host}:443=127.0.0.1:${layout.cloudPort}`),
    ...settings.connectTo,
  ]
  await using stack = await openStack({
    layout,
    mode: 'run',
    connectTo,
    ...(upstreamCa !== undefined && { upstreamCa }),
    env,
    clock,
    signal,
    say: terminal.say,
  })
  const own = loadContexts(layout.contexts).contexts.find(({ name }) => name === exampleNames.context)
  if (!own) throw new Fault('CONTEXT_MISSING', 'the control plane wrote no context')
  saveContext(file, own, { makeCurrent: true })
  try {
    terminal.print(stack.levelText)
    const program = findWorkloadProgram(env)
    const workload = workloadCommand(program, 'bedrock-agent', stack.workloadDirectory)
    terminal.print(instructions({ run: layout.run, example: stack.example, workload }))
    await Promise.race([untilAborted(signal), stack.failed])
  } finally {
    restoreContext(file, before)
  }
  return 0
}

function readCa(file: string): string {
  try {
    const text = readFileSync(file, 'utf8')
    return new X509Certificate(text).toString() && text
  } catch (error) {
    throw new Fault('SETTING_INVALID', `--upstream-ca ${file}: ${(error as Error).message}`, { cause: error })
  }
}

/** Forgets the context of the stack; the one that was current before is again, unless another was chosen since. */
function restoreContext(file: string, before: string | undefined): void {
  const { current, contexts } = loadContexts(file)
  if (contexts.some(({ name }) => name === exampleNames.context)) removeContext(file, exampleNames.context)
  if (
    current === exampleNames.context &&
    before !== undefined &&
    contexts.some(({ name }) => name === before && name !== exampleNames.context)
  ) {
    useContext(file, before)
  }
}

function instructions({
  run,
  example,
  workload,
}: {
  run: string
  example: string
  workload: readonly string[]
}): string {
  return `
The stack is running; Ctrl-C stops it. The context "${exampleNames.context}" is current: in another terminal try

  npx tideway ctl apply -f ${example}
  npx tideway ctl get all
  npx tideway run --run-dir ${run} -- ${workload.join(' ')}
  npx tideway ctl describe credentialbinding
  npx tideway audit -f
  npx tideway keys list
`
}
