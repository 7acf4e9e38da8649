// A control plane and a daemon, each a process of its own and used as an operator uses them.
import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { request as requestHttp, type RequestOptions } from 'node:http'
import path from 'node:path'
import process from 'node:process'
import { systemClock } from '#base/clock'
import { mustRun, runCommand, type Result } from './command.ts'
import { findFreePorts } from './ports.ts'

const program = path.resolve(import.meta.dirname, '../../bin/tideway')
const stopGraceMs = 10_000

/** Polls until `probe` yields something. @throws Error that names `what` after `timeoutMs` */
export async function waitFor<T>(
  what: string,
  probe: () => Promise<T | undefined>,
  timeoutMs = 30_000,
): Promise<T> {
  const deadline = systemClock.monotonic() + timeoutMs
  for (;;) {
    const found = await probe()
    if (found !== undefined) return found
    if (systemClock.monotonic() > deadline) throw new Error(`${what}: not within ${timeoutMs / 1000} s`)
    await systemClock.sleep(100)
  }
}

async function answers(options: RequestOptions): Promise<true | undefined> {
  return await new Promise((resolve) => {
    const outgoing = requestHttp({ ...options, timeout: 2_000 }, (incoming) => {
      incoming.resume()
      resolve(incoming.statusCode === 200 ? true : undefined)
    })
    outgoing.on('timeout', () => outgoing.destroy())
    outgoing.on('error', () => resolve(undefined))
    outgoing.end()
  })
}

interface Part extends AsyncDisposable {
  /** Waits until `ready` answers with 200. @throws Error with the end of the log when the part ends before */
  until(ready: RequestOptions): Promise<void>
}

function startPart(args: readonly string[], env: NodeJS.ProcessEnv, logFile: string, input = ''): Part {
  const log = openSync(logFile, 'a')
  const child = spawn(program, args, { env, stdio: ['pipe', log, log] })
  closeSync(log)
  child.stdin!.on('error', () => {})
  child.stdin!.end(input)
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  return {
    async until(ready) {
      await waitFor(`the start of tideway ${args[0]}`, async () => {
        if (child.exitCode !== null) {
          throw new Error(`tideway ${args[0]} ended:\n${readFileSync(logFile, 'utf8').slice(-2000)}`)
        }
        return await answers(ready)
      })
    },
    async [Symbol.asyncDispose]() {
      const late = new AbortController()
      child.kill('SIGTERM')
      systemClock.sleep(stopGraceMs, { signal: late.signal }).then(kill, () => {})
      await ended
      late.abort()
      process.removeListener('exit', kill)
    },
  }
}

/** A status as `ctl get -o json` shows it. */
export interface Status {
  readonly state?: string
  readonly message?: string
  readonly credential?: { readonly id: string; readonly expiresAt: string }
}

export interface Tideway extends AsyncDisposable {
  readonly issuerUrl: string
  readonly trustDomain: string
  readonly daemonGroup: string
  /** The certificate of the key that signs now, as the JWKS shows it. */
  signingCertificate(): Promise<Buffer>
  /** PEM of the CA under which the issuer answers. */
  readonly caPem: string
  cli(args: readonly string[], input?: string): Promise<Result>
  /** `tideway ctl apply -f -`. @throws Error with what the CLI said when it refuses */
  apply(manifest: object): Promise<void>
  status(kind: string, name: string): Promise<Status>
  /** Waits until the status of an object is as `wanted`; the status then. */
  untilStatus(kind: string, name: string, wanted: (status: Status) => boolean): Promise<Status>
  /** The command line that runs `command` so that its connections are captured. */
  enclose(command: readonly string[]): readonly string[]
}

/** Starts both with all state and logs in `folder`, and joins the daemon. */
export async function startTideway(folder: string, { exchangeCa }: { exchangeCa: string }): Promise<Tideway> {
  await using starting = new AsyncDisposableStack()
  const firstPort = await findFreePorts(3)
  const [api, node, health] = [0, 1, 2].map((offset) => `127.0.0.1:${firstPort + offset}`)
  const runDir = path.join(folder, 'run')
  mkdirSync(runDir)
  const trustDomain = 'rgw.example'
  const daemonGroup = 'riptides/daemongroup/rgw'
  const env = {
    PATH: process.env['PATH'],
    HOME: folder,
    TIDEWAY_CONTEXTS: path.join(folder, 'contexts.yaml'),
  }
  const cli = async (args: readonly string[], input = '') =>
    await runCommand([program, ...args], { env, input })

  const server = starting.use(
    startPart(
      [
        'server',
        `--data-dir=${path.join(folder, 'server')}`,
        `--listen=${api}`,
        `--node-listen=${node}`,
        `--health-listen=${health}`,
        `--public-url=https://${api}`,
        `--trust-domain=${trustDomain}`,
        `--exchange-ca=${exchangeCa}`,
        '--key-publish-ahead-seconds=1',
      ],
      env,
      path.join(folder, 'server.log'),
    ),
  )
  await server.until({ host: '127.0.0.1', port: firstPort + 2, path: '/readyz' })

  const token = await mustRun([program, 'node', 'token', 'create', '--group', daemonGroup, '-o', 'json'], {
    env,
  })
  const join = JSON.parse(token) as { token: string; server: string; caHash: string }
  const daemon = starting.use(
    startPart(
      [
        'daemon',
        `--server=${join.server}`,
        '--join-token-file=-',
        `--ca-hash=${join.caHash}`,
        `--state-dir=${path.join(folder, 'daemon')}`,
        `--run-dir=${runDir}`,
        '--capture=none',
        '--hostname=rgw-node',
      ],
      env,
      path.join(folder, 'daemon.log'),
      join.token,
    ),
  )
  await daemon.until({ socketPath: path.join(runDir, 'daemon.sock'), path: '/ready' })

  const status = async (kind: string, name: string) => {
    const object = await mustRun([program, 'ctl', 'get', kind, name, '-o', 'json'], { env })
    return (JSON.parse(object) as { status?: Status }).status ?? {}
  }
  const published = path.join(folder, 'oidc')
  const owned = starting.move()
  return {
    issuerUrl: `https://${api}/oidc`,
    trustDomain,
    daemonGroup,
    caPem: readFileSync(path.join(folder, 'server/server-ca.pem'), 'utf8'),
    async signingCertificate() {
      await mustRun([program, 'oidc', 'publish', published], { env })
      const { keys } = JSON.parse(readFileSync(path.join(published, 'jwks'), 'utf8')) as {
        keys: { x5c: string[] }[]
      }
      return Buffer.from(keys[0]!.x5c[0]!, 'base64')
    },
    cli,
    async apply(manifest) {
      const { code, stderr } = await cli(['ctl', 'apply', '-f', '-'], JSON.stringify(manifest))
      if (code !== 0) throw new Error(`ctl apply: ${stderr}`)
    },
    status,
    async untilStatus(kind, name, wanted) {
      let last: Status = {}
      try {
        return await waitFor(`the status of ${kind}/${name}`, async () => {
          last = await status(kind, name)
          return wanted(last) ? last : undefined
        })
      } catch (error) {
        throw new Error(`${(error as Error).message}: ${JSON.stringify(last)}`, { cause: error })
      }
    },
    enclose: (command) => [program, 'run', `--run-dir=${runDir}`, '--', ...command],
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}
