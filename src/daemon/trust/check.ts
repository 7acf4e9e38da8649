import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { trustEnvironment } from './bundle.ts'
import { runtimes, type Runtime, type TrustTarget } from './runtimes.ts'

/** What one runtime does with the intercept CA. */
export interface TrustFinding {
  readonly runtime: string
  /** `absent`: not installed here. `with-variable`: trusts it once `variable` names the bundle. */
  readonly outcome: 'trusts' | 'with-variable' | 'refuses' | 'absent'
  readonly variable: string
  /** What it said, when it refused. */
  readonly message: string
}

// Compiling a Go program on a slow machine takes its time.
const timeoutMs = 60_000

interface Attempt {
  readonly ok: boolean
  readonly missing: boolean
  readonly message: string
}

async function attempt(
  [command, ...args]: readonly [string, ...string[]],
  { folder, env, signal }: { folder: string; env: NodeJS.ProcessEnv; signal: AbortSignal },
): Promise<Attempt> {
  signal.throwIfAborted()
  return await new Promise((resolve, reject) => {
    // A group of its own: `go run` has children, and who is interrupted wants none of them left.
    const child = spawn(command, args, {
      cwd: folder,
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
    })
    const end = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
    const kill = () => {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    }
    end.addEventListener('abort', kill, { once: true })
    let message = ''
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (message = (message + chunk).slice(-2000)))
    child.once('error', (error) => resolve({ ok: false, missing: true, message: error.message }))
    child.once('exit', () => end.removeEventListener('abort', kill))
    child.once('close', (code) => {
      if (signal.aborted) reject(signal.reason as Error)
      else resolve({ ok: code === 0, missing: false, message: message.trim() })
    })
  })
}

async function examine(
  runtime: Runtime,
  target: TrustTarget,
  bundle: string,
  { env, signal }: { env: NodeJS.ProcessEnv; signal: AbortSignal },
): Promise<TrustFinding> {
  const folder = await mkdtemp(join(tmpdir(), 'tideway-trust-'))
  try {
    for (const [name, content] of Object.entries(runtime.files ?? {}))
      await writeFile(join(folder, name), content)
    const command = runtime.command(target)
    const own = { ...env, ...runtime.environment?.(folder) }
    const asIs = await attempt(command, { folder, env: own, signal })
    const told =
      asIs.ok || asIs.missing
        ? asIs
        : await attempt(command, { folder, env: { ...own, ...trustEnvironment(bundle) }, signal })
    const outcome = asIs.missing ? 'absent' : asIs.ok ? 'trusts' : told.ok ? 'with-variable' : 'refuses'
    return {
      runtime: runtime.name,
      outcome,
      variable: runtime.variable,
      message: told.ok ? '' : told.message,
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/**
 * Has every runtime of this host that we know really connect to `target`: in the environment `env` as it is, and
 * where that fails, with the variables that name the bundle. Each finding comes as soon as it is made; rejects
 * when `signal` aborts.
 */
export async function* checkTrust({
  target,
  bundle,
  ...surroundings
}: {
  target: TrustTarget
  bundle: string
  env: NodeJS.ProcessEnv
  signal: AbortSignal
}): AsyncGenerator<TrustFinding> {
  for (const runtime of runtimes) yield await examine(runtime, target, bundle, surroundings)
}
