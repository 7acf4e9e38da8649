import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { spawnSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { ownCommand } from './child.ts'
import { findCgroup2, openControlGroup, runEnclosed } from './enclosure.ts'
import { planLayout } from './layout.ts'
import { openNarrator } from './narrator.ts'
import type { DevOptions } from './options.ts'
import { cloudAddress, cloudHosts, furnishPrivateHost } from './private-host.ts'
import { openStack, type StackMode } from './stack.ts'
import { tellStory } from './story.ts'

/** Where the enclosed half of the demo runs: made by the outer half, gone with it. */
export interface Enclosure {
  readonly base: string
  readonly cgroup: string
}

/** Why the demo cannot capture in the kernel here; undefined when it can. */
async function obstacleToKernelCapture(): Promise<string | undefined> {
  if (process.getuid!() !== 0) return 'that needs root'
  if (findCgroup2() === undefined) return 'there is no cgroup v2 hierarchy'
  const namespaces = spawnSync('unshare', ['--net', '--mount', '--propagation', 'private', 'true'], {
    encoding: 'utf8',
  })
  if (namespaces.status !== 0)
    return `namespaces are refused here: ${namespaces.stderr?.trim() || 'no unshare'}`
  const { probeCapture } = await import('#daemon/program')
  const capture = probeCapture()
  return capture.available ? undefined : capture.reason
}

/** Runs the whole demo and returns its exit code: 0 only if every expectation held. Leaves nothing behind. */
export async function runDemo(options: DevOptions): Promise<number> {
  const { terminal, env, clock, signal } = options
  // Started as root, the daemon serves as a user of its own, who has to reach its folder: root's TMPDIR may be closed.
  const privileged = process.getuid!() === 0
  const base = mkdtempSync(path.join(privileged ? '/tmp' : tmpdir(), 'tideway-demo-'))
  if (privileged) chmodSync(base, 0o711)
  try {
    const obstacle = await obstacleToKernelCapture()
    if (obstacle !== undefined) {
      terminal.print(`Connections are not captured in the kernel: ${obstacle}.`)
      return await runInside(options, { mode: 'run', base })
    }
    await using group = openControlGroup(path.basename(base), clock)
    const [command, args] = ownCommand(['dev', '--demo', '--enclosed', base, group.path])
    return await runEnclosed([command, ...args], { group, env, signal })
  } finally {
    rmSync(base, { recursive: true, force: true })
  }
}

/** The half that runs in the namespaces made for it. */
export async function runEnclosedDemo(options: DevOptions, { base, cgroup }: Enclosure): Promise<number> {
  furnishPrivateHost(base)
  return await runInside(options, { mode: 'kernel', base, attachCgroup: cgroup })
}

async function runInside(
  { terminal, env, clock, signal }: DevOptions,
  { mode, base, attachCgroup }: { mode: StackMode; base: string; attachCgroup?: string },
): Promise<number> {
  const narrator = openNarrator(terminal)
  const say = (text: string) => terminal.print(text)
  const startedAt = clock.monotonic()
  const kernel = mode === 'kernel'
  const layout = await planLayout(base, {
    usualPorts: kernel,
    ...(kernel && { cloud: { address: cloudAddress, port: 443 } }),
  })
  const connectTo = kernel ? [] : cloudHosts.map((host) => `${host}:443=127.0.0.1:${layout.cloudPort}`)
  await using stack = await openStack({
    layout,
    mode,
    ...(attachCgroup !== undefined && { attachCgroup }),
    connectTo,
    env,
    clock,
    signal,
    say,
  })
  terminal.print(stack.levelText)
  await Promise.race([tellStory(stack, narrator, { clock, signal }), stack.failed, rejected(signal)])
  const seconds = Math.round((clock.monotonic() - startedAt) / 1000)
  if (narrator.failures.length === 0) {
    terminal.print(`\nEvery expectation held (${seconds} s). Nothing is left behind.`)
    return 0
  }
  terminal.print(
    `\n${narrator.failures.length} expectations failed:\n${narrator.failures.map((text) => `  ${text}`).join('\n')}`,
  )
  return 1
}

function rejected(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
}
