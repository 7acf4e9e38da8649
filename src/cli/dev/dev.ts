import { mkdirSync } from 'node:fs'
import { homedir } from 'node:os'
import path from 'node:path'
import { Fault } from '#base/errors'
import { untilAborted } from '#base/lifecycle'
import { contextFilePath, loadContexts, removeContext, saveContext } from '#cli/context'
import { planLayout } from './layout.ts'
import type { DevOptions } from './options.ts'
import { cloudHosts } from './private-host.ts'
import { openStack } from './stack.ts'

/** Settings of a development stack that the user plays with. */
export interface DevSettings {
  readonly stateDir?: string | undefined
  /** Further names to dial elsewhere: `HOST:PORT=ADDR:PORT`. */
  readonly connectTo: readonly string[]
}

function defaultStateDir(env: NodeJS.ProcessEnv): string {
  return path.join(env['XDG_STATE_HOME'] ?? path.join(homedir(), '.local/state'), 'tideway', 'dev')
}

/** Runs the stack on loopback until interrupted; the user's context file names it meanwhile. */
export async function runDev(options: DevOptions, settings: DevSettings): Promise<number> {
  const { terminal, env, clock, signal } = options
  const base = settings.stateDir ?? defaultStateDir(env)
  mkdirSync(base, { recursive: true, mode: 0o700 })
  const layout = await planLayout(base, { usualPorts: true })
  const connectTo = [
    ...cloudHosts.map((host) => `${host}:443=127.0.0.1:${layout.cloudPort}`),
    ...settings.connectTo,
  ]
  await using stack = await openStack({
    layout,
    mode: 'run',
    connectTo,
    env,
    clock,
    signal,
    say: terminal.say,
  })
  const own = loadContexts(layout.contexts).contexts.find(({ name }) => name === 'dev')
  if (!own) throw new Fault('CONTEXT_MISSING', 'the control plane wrote no context')
  const file = contextFilePath(env)
  const before = loadContexts(file).current
  saveContext(file, own, { makeCurrent: true })
  try {
    terminal.print(stack.levelText)
    terminal.print(instructions(layout.run, stack.example))
    await Promise.race([untilAborted(signal), stack.failed])
  } finally {
    removeContext(file, 'dev')
    const others = loadContexts(file).contexts
    const previous = others.find(({ name }) => name === before)
    if (previous) saveContext(file, previous, { makeCurrent: true })
  }
  return 0
}

function instructions(run: string, example: string): string {
  return `
The stack is running; Ctrl-C stops it. The context "dev" is current: in another terminal try

  npx tideway ctl apply -f ${example}
  npx tideway ctl get all
  npx tideway run --run-dir ${run} -- python3 examples/aws-bedrock/agent.py
  npx tideway ctl describe credentialbinding
  npx tideway audit -f
  npx tideway keys list
`
}
