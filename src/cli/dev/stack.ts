import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import path from 'node:path'
import type { Clock } from '#base/clock'
import { makeFolder } from '#base/files'
import { Secret } from '#base/secret'
import { permissionsPolicy, trustPolicy } from '#cli/aws'
import { openChild, ownCommand, type Child } from './child.ts'
import { prepareAccount } from './cloud.ts'
import type { Layout } from './layout.ts'
import { runOwnCli, type CliResult } from './own-cli.ts'
import { waitFor } from './wait.ts'
import { examples } from './workload.ts'

/** The names that the example uses. */
export const exampleNames = {
  /** Not a name that a user would choose for a context of their own: it is taken and given back. */
  context: 'tideway-dev',
  source: 'bedrock-agent-aws',
  binding: 'bedrock-agent-binding',
  trustDomain: 'tideway.example',
  spiffeId: 'spiffe://tideway.example/my-app/workload',
  daemonId: 'riptides/daemon/this-node',
  daemonGroup: 'riptides/daemongroup/demo',
  roleName: 'bedrock-agent',
  accountId: '123456789012',
} as const

/** What the emulator noted of one request. */
export interface CloudRequest {
  readonly service: string
  readonly status: number
  readonly principal?: string
  readonly accessKeyId?: string
}

/** The whole of Tideway and a cloud on one machine, as processes of their own. */
export interface Stack extends AsyncDisposable {
  readonly layout: Layout
  readonly names: typeof exampleNames
  /** Rejects when a part ends before it was asked to. */
  readonly failed: Promise<never>
  readonly workloadEnv: NodeJS.ProcessEnv
  readonly workloadDirectory: string
  /** How a workload is started at this capture level, in words. */
  readonly startedHow: string
  /** The command line that starts `command` so that its connections are captured. */
  enclose(command: readonly string[]): readonly string[]
  /** Runs `tideway ARGS` against this stack. */
  cli(args: readonly string[], input?: string): Promise<CliResult>
  /** Folder of the example's resources as this capture level needs them. */
  readonly example: string
  /** Attests the process of that name that the command running as process `startedAs` is, or has started. */
  attest(processName: string, startedAs: number): Promise<CliResult & { pid: number }>
  lastCloudRequest(): CloudRequest
  /** Which capture level holds here and what it guarantees, in the daemon's words. */
  readonly levelText: string
  readonly say: (text: string) => void
}

/** `kernel`: eBPF captures all that runs here. `run`: workloads are started by `tideway run`. */
export type StackMode = 'kernel' | 'run'

interface StackOptions {
  readonly layout: Layout
  readonly mode: StackMode
  /** Kernel mode: the cgroup below which is captured. */
  readonly attachCgroup?: string
  /** Names the emulator instead of the real hosts: `HOST:PORT=ADDR:PORT`. */
  readonly connectTo: readonly string[]
  /** PEM of a CA that the daemon trusts for upstreams, beside the emulator's. */
  readonly upstreamCa?: string
  readonly env: NodeJS.ProcessEnv
  readonly clock: Clock
  readonly signal: AbortSignal
  readonly say: (text: string) => void
}

async function httpStatus(
  target: { socketPath: string } | { host: string; port: number },
  route: string,
): Promise<number> {
  return await new Promise((resolve) => {
    const outgoing = request({ ...target, path: route, timeout: 2_000 }, (incoming) => {
      incoming.resume()
      resolve(incoming.statusCode ?? 0)
    })
    outgoing.on('timeout', () => outgoing.destroy())
    outgoing.on('error', () => resolve(0))
    outgoing.end()
  })
}

/** The access key of the emulated account's root user. */
export function readRootCredentials(file: string): { accessKeyId: string; secretAccessKey: string } {
  const text = readFileSync(file, 'utf8')
  const value = (key: string) => new RegExp(`^${key}\\s*=\\s*(\\S+)$`, 'm').exec(text)?.[1] ?? ''
  return { accessKeyId: value('aws_access_key_id'), secretAccessKey: value('aws_secret_access_key') }
}

/** Starts emulator, server and daemon, joins them, prepares the cloud account, and returns when all are ready. */
export async function openStack(options: StackOptions): Promise<Stack> {
  const { layout, mode, clock, signal, say } = options
  await using starting = new AsyncDisposableStack()
  const env: NodeJS.ProcessEnv = { ...options.env, TIDEWAY_CONTEXTS: layout.contexts }
  const children: Child[] = []
  const start = (name: string, args: readonly string[], input?: string) => {
    const logFile = path.join(layout.logs, `${name}.log`)
    const child = starting.use(
      openChild({ name, args: [name, ...args], env, logFile, clock, ...(input !== undefined && { input }) }),
    )
    children.push(child)
    return child
  }
  const until = async (child: Child, what: string, probe: () => Promise<true | undefined>) =>
    await Promise.race([waitFor(what, probe, { clock, signal }), child.failed])
  const cli = async (args: readonly string[], input?: string) => await runOwnCli(args, env, input)

  say('starting the cloud emulator')
  const emulatorFile = (name: string) => path.join(layout.emulatorState, name)
  const serverCa = path.join(layout.serverData, 'server-ca.pem')
  const cloudEndpoint = `${layout.cloudAddress}:${layout.cloudPort}`
  const emulator = start('emulator', [
    `--listen=${cloudEndpoint}`,
    `--state-dir=${layout.emulatorState}`,
    `--issuer-ca=${serverCa}`,
  ])
  await until(
    emulator,
    'the start of the emulator',
    async () => existsSync(emulatorFile('address')) || undefined,
  )
  const caPem = readFileSync(emulatorFile('ca.pem'), 'utf8')
  const upstreamCa = path.join(layout.base, 'upstream-ca.pem')
  writeFileSync(upstreamCa, `${caPem}\n${options.upstreamCa ?? ''}`)

  say('starting the control plane')
  const overrides = options.connectTo.map((entry) => `--connect-to=${entry}`)
  const server = start('server', [
    `--data-dir=${layout.serverData}`,
    `--listen=${layout.api}`,
    `--node-listen=${layout.node}`,
    `--health-listen=${layout.health}`,
    `--public-url=https://${layout.api}`,
    `--trust-domain=${exampleNames.trustDomain}`,
    `--exchange-ca=${emulatorFile('ca.pem')}`,
    `--admin-context=${exampleNames.context}`,
    ...overrides,
  ])
  const [healthHost, healthPort] = layout.health.split(':') as [string, string]
  await until(server, 'the start of the control plane', async () =>
    (await httpStatus({ host: healthHost, port: Number(healthPort) }, '/readyz')) === 200 ? true : undefined,
  )

  say('joining this node with a single-use token')
  const token = await cli([
    'node',
    'token',
    'create',
    '--output=json',
    `--workload-id=${exampleNames.daemonId}`,
    `--group=${exampleNames.daemonGroup}`,
  ])
  if (token.code !== 0) throw new Error(`no join token: ${token.stderr}`)
  const join = JSON.parse(token.stdout) as { token: string; server: string; caHash: string }
  const daemon = start(
    'daemon',
    [
      `--server=${join.server}`,
      '--join-token-file=-',
      `--ca-hash=${join.caHash}`,
      `--state-dir=${layout.daemonState}`,
      `--run-dir=${layout.run}`,
      `--proxy-listen=${layout.proxy}`,
      `--upstream-ca=${upstreamCa}`,
      ...(mode === 'kernel'
        ? ['--capture=kernel', `--attach-cgroup=${options.attachCgroup}`]
        : ['--capture=none']),
      ...overrides,
    ],
    join.token,
  )
  await until(daemon, 'the start of the daemon', async () =>
    (await httpStatus({ socketPath: path.join(layout.run, 'daemon.sock') }, '/ready')) === 200
      ? true
      : undefined,
  )

  const capture = await cli(['capture', 'status', `--run-dir=${layout.run}`])
  const levelText = capture.stdout.split('\n', 2).join('\n')
  const level = /^capture level: (\w+)/.exec(levelText)?.[1] ?? 'user'

  say('preparing the cloud account: OIDC provider, role, trust policy')
  const { accessKeyId, secretAccessKey } = readRootCredentials(emulatorFile('root-credentials'))
  const setup = {
    accountId: exampleNames.accountId,
    roleName: exampleNames.roleName,
    issuerUrl: `https://${layout.api}/oidc`,
    audience: 'sts.amazonaws.com',
    subject: exampleNames.spiffeId,
  }
  await prepareAccount(
    {
      address: layout.cloudAddress,
      port: layout.cloudPort,
      caPem,
      clock,
      root: {
        kind: 'aws',
        accessKeyId,
        secretAccessKey: Secret.of(secretAccessKey),
        sessionToken: Secret.of(''),
        issuedAt: 0,
        expiresAt: Number.MAX_SAFE_INTEGER,
      },
    },
    {
      issuerUrl: setup.issuerUrl,
      audience: setup.audience,
      roleName: setup.roleName,
      trustPolicy: JSON.stringify(trustPolicy(setup)),
      permissions: JSON.stringify(permissionsPolicy(['bedrock:*', 'ssm:*', 's3:*'], ['*'])),
    },
  )

  const bundle = path.join(layout.run, 'certs', 'ca-certificates.crt')
  const owned = starting.move()
  return {
    layout,
    names: exampleNames,
    failed: Promise.race(children.map(({ failed }) => failed)),
    workloadEnv: {
      PATH: options.env['PATH'],
      HOME: '/nonexistent',
      ...(mode === 'kernel' && { SSL_CERT_FILE: bundle, NODE_EXTRA_CA_CERTS: bundle }),
    },
    workloadDirectory: path.join(layout.base, 'workload'),
    startedHow: mode === 'kernel' ? 'like any other program' : "by 'tideway run -- COMMAND'",
    enclose: (command) => {
      if (mode === 'kernel') return command
      const [own, args] = ownCommand(['run', `--run-dir=${layout.run}`, '--', ...command])
      return [own, ...args]
    },
    cli,
    example: level === 'process' ? examples : writeWeakerExample(path.join(layout.base, 'example'), level),
    attest: async (processName, startedAs) => {
      const pid = findDescendant(processName, startedAs)
      return { pid, ...(await cli(['attest', `--run-dir=${layout.run}`, String(pid)])) }
    },
    lastCloudRequest: () => {
      const lines = readFileSync(emulatorFile('access.ndjson'), 'utf8').trimEnd().split('\n')
      const requests = lines.map((line) => JSON.parse(line) as CloudRequest)
      return requests.findLast(
        ({ service, principal }) => service.startsWith('bedrock') && principal !== undefined,
      )!
    },
    levelText,
    say,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/**
 * Writes the example into `directory` with one change: its binding accepts a weaker capture level than the
 * default, because here there is no other.
 */
function writeWeakerExample(directory: string, level: string): string {
  makeFolder(directory, 0o755)
  for (const name of readdirSync(examples).filter((file) => file.endsWith('.yaml'))) {
    const text = readFileSync(path.join(examples, name), 'utf8')
    const weaker = text.replace(/^(kind: CredentialBinding$[^]*?^spec:)$/m, `$1\n  minimumCapture: ${level}`)
    writeFileSync(path.join(directory, name), weaker)
  }
  return directory
}

/** Name and parent of a process, from /proc/PID/stat; undefined when it is gone. */
function statOf(pid: number): { name: string; parent: number } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const end = stat.lastIndexOf(')')
    return { name: stat.slice(stat.indexOf('(') + 1, end), parent: Number(stat.slice(end + 2).split(' ')[1]) }
  } catch {
    return undefined
  }
}

/** The process called `name` among `ancestor` and its descendants: what `tideway run` started, for one. */
function findDescendant(name: string, ancestor: number): number {
  const descends = (pid: number): boolean => {
    if (pid === ancestor) return true
    const parent = statOf(pid)?.parent ?? 0
    return parent > 1 && descends(parent)
  }
  const pids = readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
  const found = pids.find((pid) => statOf(pid)?.name === name && descends(pid))
  if (found === undefined) throw new Error(`no process is called ${name} below ${ancestor}`)
  return found
}
