// A daemon as a process of its own against a fake control plane: for the tests of this folder.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import process from 'node:process'
import { text } from 'node:stream/consumers'
import { openFakeControlPlane, type FakeControlPlane } from '#daemon/fake-control-plane'
import { releaseCapture } from '#daemon/capture'
import { callDaemon, type RunMode } from '#daemon/run'
import { parseSpiffeId } from '#model/identity'
import type { ScopeUpdate, SelectorMap } from '#model/scope'
import { pinDirectoryOf } from './paths.ts'

export const asRoot = process.getuid!() === 0
const repository = resolve(import.meta.dirname, '../../..')
const nobody = 65_534

/**
 * Why tests that act as another user are left out: root's own home, for one, is closed to them. False where they
 * are not.
 */
export const closed =
  asRoot &&
  spawnSync('setpriv', [
    `--reuid=${nobody}`,
    '--clear-groups',
    '--',
    'test',
    '-r',
    join(repository, 'package.json'),
  ]).status !== 0 &&
  'other users cannot enter this checkout, and as root these tests start daemons of another user'

export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface TestDaemon extends AsyncDisposable {
  readonly server: FakeControlPlane
  readonly child: ChildProcess
  readonly folder: string
  readonly runDir: string
  readonly bundle: string
  /** Calls the control socket; as root we may, whoever the daemon is. */
  call(method: 'GET' | 'POST', path: string, body?: unknown): Promise<Record<string, unknown>>
  /** Sends an update and waits for its acknowledgement. */
  apply(update: ScopeUpdate): Promise<void>
  /** Runs a command as an ordinary user. */
  as(command: readonly string[], env?: NodeJS.ProcessEnv): Promise<Finished>
  /** The command of a process that prints what `url` answers, or the code of its error; `isApp` selects it. */
  fetch(url: string, timeoutMs?: number): readonly string[]
  /** Runs a command by `runCommand` as an ordinary user. */
  run(mode: RunMode, command: readonly string[]): Promise<Finished>
  /** Pids of its workers. */
  workers(): readonly number[]
  /** The events of its log until now. */
  events(): readonly string[]
}

const nodeBinary = realpathSync(process.execPath)
/** Prints what the URL answers. Node.js itself: the only program that is there wherever this test runs. */
const fetchScript = `fetch(process.argv[1], { signal: AbortSignal.timeout(Number(process.argv[2])) })
  .then((answer) => answer.text())
  .then(console.log, (error) => console.log(error.cause?.code ?? error.name))
  .finally(() => process.exit())`

/** Selects what `fetch` of a test's daemon names. */
export const isApp: SelectorMap = { 'process:env:ROLE': ['app'], 'process:binary:path': [nodeBinary] }

const nothing = { identities: [], services: [], bindings: [], credentials: [] }

/** An identity with these selectors, bound to one Service address; it has no credential, so requests get a 503. */
export function scopeWith(
  revision: number,
  selector: SelectorMap,
  address: { host: string; port?: number },
): ScopeUpdate {
  const spiffeId = parseSpiffeId('spiffe://example.org/app')
  const level = { minimumCapture: 'user', allowCredentialIssuance: false } as const
  return {
    revision,
    reset: true,
    upsert: {
      ...nothing,
      identities: [{ name: 'app', spiffeId, selectors: [selector], captureAll: false, intercept: true }],
      services: [{ name: 'cloud', addresses: [address] }],
      bindings: [{ name: 'app-cloud', spiffeId, sourceName: 'aws', serviceNames: ['cloud'], ...level }],
    },
    remove: nothing,
  }
}

/** Runs to the end without keeping this process from serving: the control plane lives in it. */
async function finish(command: readonly string[], env: NodeJS.ProcessEnv): Promise<Finished> {
  const [program, ...args] = command
  const child = spawn(program!, args, { cwd: import.meta.dirname, env, stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = once(child, 'close')
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
  await ended
  return { code: child.exitCode, stdout, stderr }
}

/** Empty for a process that has gone meanwhile. */
export function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}

/** `user` starts it as an ordinary user; `root` as root, with `args`. */
export async function startDaemon(
  privilege: 'user' | 'root',
  args: readonly string[] = [],
  { until = (server: FakeControlPlane) => server.calls.streams > 0 } = {},
): Promise<TestDaemon> {
  const folder = mkdtempSync(join(tmpdir(), 'tideway-'))
  chmodSync(folder, 0o755)
  const drop = privilege === 'user' && asRoot
  if (drop) chownSync(folder, nobody, nobody)
  const server = await openFakeControlPlane()
  const tokenFile = join(folder, 'token')
  writeFileSync(tokenFile, server.token)
  const runDir = join(folder, 'run')
  const prefix = asRoot ? ['setpriv', `--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups', '--'] : []
  const asUser = (command: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Finished> =>
    finish([...prefix, ...command], { PATH: '/usr/local/bin:/usr/bin:/bin', HOME: folder, ...env })
  const [program, ...rest] = [
    ...(drop ? prefix : []),
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    // As the launcher does.
    '--max-semi-space-size=2',
    '--import',
    join(repository, 'bin/without-types.js'),
    join(repository, 'bin/tidewayd.ts'),
    `--server=${server.url.href}`,
    `--ca-hash=${server.caHash}`,
    `--join-token-file=${tokenFile}`,
    `--run-dir=${runDir}`,
    `--state-dir=${join(folder, 'lib/state')}`,
    '--workers=1',
    '--log-level=error',
    ...args,
  ]
  // As strict as that of its unit.
  const strictly = ['-c', 'umask 077; exec "$@"', 'sh', program!, ...rest]
  const child = spawn('/bin/sh', strictly, { stdio: ['ignore', 'inherit', 'pipe'] })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
  child.stderr.pipe(process.stderr)
  const exited = once(child, 'exit')
  const ended = exited.then(() => Promise.reject(new Error('the daemon has ended')))
  ended.catch(() => {})
  const socket = join(runDir, 'daemon.sock')
  const call = async (method: 'GET' | 'POST', path: string, body?: unknown) =>
    (await callDaemon(socket, method, path, body)) as Record<string, unknown>
  await Promise.race([server.until(() => until(server)), ended])
  return {
    server,
    child,
    folder,
    runDir,
    bundle: join(runDir, 'certs', 'ca-certificates.crt'),
    call,
    async apply(update) {
      server.send(update)
      const isAcknowledged = () =>
        server.reports.some(
          ({ body }) => body.case === 'acknowledge' && Number(body.value.revision) === update.revision,
        )
      await Promise.race([server.until(isAcknowledged), ended])
    },
    as: asUser,
    fetch: (url, timeoutMs = 20_000) => [
      'env',
      'ROLE=app',
      nodeBinary,
      '-e',
      fetchScript,
      url,
      String(timeoutMs),
    ],
    run(mode, command) {
      const options = JSON.stringify({ mode, command: command[0], args: command.slice(1), runDir })
      const script = `import { runCommand } from '#daemon/run'
        process.exitCode = await runCommand({ ...${options}, env: process.env, say: console.error })`
      const node = [process.execPath, '--disable-warning=ExperimentalWarning', '--input-type=module']
      return asUser([...node, '-e', script])
    },
    workers() {
      const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim().split(' ')
      return children.filter((pid) => commandLine(pid).includes('worker.ts')).map(Number)
    },
    events: () => Array.from(said.matchAll(/"event":"([^"]+)"/g), ([, event]) => event!),
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGCONT')
        child.kill('SIGTERM')
        await exited
      }
      releaseCapture(pinDirectoryOf(runDir))
      await server[Symbol.asyncDispose]()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Looks again and again until `look` gives something; a test's own time limit ends it. */
export async function eventually<T>(
  look: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  for (;;) {
    const found = await look()
    if (found !== undefined && found !== false) return found
    await new Promise((resolve) => setImmediate(resolve))
  }
}
