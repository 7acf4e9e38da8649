import { spawn } from 'node:child_process'
import { accessSync, constants, readFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { Fault } from '#base/errors'
import { cgroupMount } from '#daemon/capture'
import { trustEnvironment } from '#daemon/trust'
import { callDaemon } from './daemon-client.ts'
import { canEnclose, runEnclosed } from './enclosure.ts'
import type { RunFacts } from './facts.ts'
import { standInFor } from './signals.ts'

export type RunMode = 'auto' | 'kernel' | 'namespaces' | 'proxy'

export interface RunCommandOptions {
  readonly mode: RunMode
  readonly command: string
  readonly args: readonly string[]
  /** The daemon's run folder. */
  readonly runDir: string
  readonly env: NodeJS.ProcessEnv
  /** Aborted before the command has been started: it is not. After that signals are the command's. */
  readonly signal?: AbortSignal
  /** Told in one sentence what a command in this mode is promised, where that is less than asked for. */
  readonly say: (text: string) => void
}

function definedOnly(env: NodeJS.ProcessEnv): Record<string, string> {
  const entries = Object.entries(env).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, value] as const],
  )
  return Object.fromEntries(entries)
}

function proxyEnvironment({ proxy: { host, port } }: RunFacts): Record<string, string> {
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`
  const names = ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy']
  // What was to go around the proxy of before would go around the daemon, unsigned.
  return {
    ...Object.fromEntries(names.map((name) => [name, url])),
    NO_PROXY: '',
    no_proxy: '',
    NODE_USE_ENV_PROXY: '1',
  }
}

/** Whether this process is in the cgroup that the kernel captures, or below it. */
function isCaptured(cgroup: string): boolean {
  const own = /^0::(\/.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1] ?? '/'
  return `${join(cgroupMount(), own)}/`.startsWith(`${cgroup}/`)
}

function mayJoin(cgroup: string): boolean {
  try {
    accessSync(join(cgroup, 'cgroup.procs'), constants.W_OK)
    return true
  } catch {
    return false
  }
}

/** The strongest mode that works here for this user. */
function chooseMode({ level, captureCgroup }: RunFacts): Exclude<RunMode, 'auto'> {
  const reachable = captureCgroup === undefined || isCaptured(captureCgroup) || mayJoin(captureCgroup)
  if (level === 'process' && reachable) return 'kernel'
  return canEnclose() ? 'namespaces' : 'proxy'
}

/** Starts the command in the captured cgroup, which it enters before it can have a socket. */
async function runCaptured(
  facts: RunFacts,
  options: RunCommandOptions,
  env: Record<string, string>,
): Promise<number> {
  const { command, args } = options
  const { level, captureCgroup } = facts
  if (level !== 'process') {
    throw new Fault('CAPTURE_UNAVAILABLE', `the daemon does not capture in the kernel: ${facts.detail}`)
  }
  if (captureCgroup === undefined || isCaptured(captureCgroup)) {
    return await standInFor(() => spawn(command, args, { stdio: 'inherit', env }), options.say)
  }
  if (!mayJoin(captureCgroup)) {
    throw new Fault('CAPTURE_UNAVAILABLE', `joining the captured cgroup ${captureCgroup} needs root`)
  }
  const enter = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
  return await standInFor(() =>
    spawn('/bin/sh', ['-c', enter, captureCgroup, command, ...args], { stdio: 'inherit', env }),
  )
}

/**
 * Runs a command so that the daemon carries its connections, and gives its exit code (128 and the number for a
 * signal). Standard streams, terminal and signals are the command's. The environment gets the variables that
 * make runtimes trust the intercept CA; `proxy` adds those of an explicit proxy.
 * @throws Fault DAEMON_UNREACHABLE; CAPTURE_UNAVAILABLE when the mode asked for is not possible here
 */
export async function runCommand(options: RunCommandOptions): Promise<number> {
  const { command, args, runDir, say } = options
  const controlSocket = join(runDir, 'daemon.sock')
  const facts = (await callDaemon(controlSocket, 'GET', '/run')) as RunFacts
  const env = { ...definedOnly(options.env), ...trustEnvironment(facts.trustBundle) }
  options.signal?.throwIfAborted()
  const mode = options.mode === 'auto' ? chooseMode(facts) : options.mode
  if (mode === 'kernel') return await runCaptured(facts, options, env)
  if (mode === 'namespaces') {
    const ids = { uid: process.getuid!(), gid: process.getgid!() }
    return await runEnclosed({ facts, controlSocket, command, args, env, ...ids })
  }
  if (options.mode === 'auto') {
    say(
      'namespaces are refused here, so the command gets an explicit proxy: that tells users apart, not processes of one user, and a command can go around it',
    )
  }
  const proxied = { ...env, ...proxyEnvironment(facts) }
  return await standInFor(() => spawn(command, args, { stdio: 'inherit', env: proxied }), say)
}
