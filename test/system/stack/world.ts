// The whole product on a host of its own: emulator, server and daemon as processes, workloads of any user beside
// them, and what each of these saw.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { text as readAll } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { systemClock } from '#base/clock'
import { Secret } from '#base/secret'
import { permissionsPolicy, trustPolicy } from '#cli/aws'
import { loadContexts, openFetch } from '#cli/context'
import { cloudAddress, planLayout, prepareAccount, readRootCredentials, type Layout } from '#cli/dev'
import { openResourceClient, type ResourceClient } from '#client/resource-api'
import type { AuditRecord } from '#model/audit'
import { openAuthority, type Authority } from './authority.ts'
import { openPlace, type Place } from './place.ts'
import { httpGet, startPart, tideway, type Part } from './programs.ts'
import { planServers, type Replicas, type ServerPlace } from './replicas.ts'
import { accountId, daemonGroup, stream, trustDomain } from './resources.ts'
import { driveWorkload, type Workload } from './workload.ts'

/** The executable itself: a link to it is no name that a selector matches. */
export const python = realpathSync('/usr/bin/python3')

/** Uids of workloads; none needs an account. */
export const uids = { identified: 52_001, stranger: 52_002, other: 52_003, daemon: 64_099 } as const

/** Waits until `probe` gives something; fails after `seconds`. */
export async function until<T>(
  what: string,
  probe: () => T | Promise<T>,
  seconds = 120,
): Promise<Exclude<T, undefined | null | false>> {
  const deadline = systemClock.monotonic() + seconds * 1000
  for (;;) {
    const found = await probe()
    if (found !== undefined && found !== null && found !== false)
      return found as Exclude<T, undefined | null | false>
    assert.ok(systemClock.monotonic() < deadline, `still not so after ${seconds} s: ${what}`)
    await delay(20)
  }
}

/** One line of the emulator's access log. */
export interface CloudRequest {
  readonly at: string
  readonly service: string
  readonly action: string
  readonly path: string
  readonly status: number
  readonly principal?: string
  readonly accessKeyId?: string
  readonly reason?: string
}

export interface WorkloadOptions {
  readonly uid: number
  /** The interpreter; the system's Python unless given. */
  readonly program?: string
  /** In a network namespace of its own. */
  readonly otherNetwork?: boolean
  /** A command that goes before: `unshare`, for one. */
  readonly under?: readonly string[]
  readonly env?: NodeJS.ProcessEnv
}

export interface World extends AsyncDisposable {
  readonly place: Place
  readonly layout: Layout
  /** Trusted by server and daemon like a public authority. */
  readonly authority: Authority
  readonly api: ResourceClient
  /** Of one of several servers. */
  apiOf(index: number): ResourceClient
  readonly server: Part
  /** All of them, where there are several; `server` is the first. */
  readonly servers: readonly Part[]
  readonly daemon: Part
  /** The join token, used up by now. */
  readonly joinToken: string
  startServer(index?: number): Promise<void>
  /** Resolves when it is ready. */
  startDaemon(): Promise<void>
  /** Resolves when a scope is in effect and all workers serve. */
  untilDaemonReady(): Promise<void>
  /** What a living daemon says of itself. */
  daemonStatus(): Promise<DaemonStatus>
  /** Processes of the daemon: who carries connections, who reads /proc. */
  daemonChildren(): { workers: number[]; attestor: number }
  cli(args: readonly string[], input?: string): Promise<{ code: number; stdout: string; stderr: string }>
  /** Applies the documents through the CLI. */
  apply(...documents: readonly string[]): Promise<void>
  /** Makes the role in the account that only the workload of that name can assume; `actions`: what it may do. */
  createRole(name: string, workloadId: string, actions?: readonly string[]): Promise<void>
  /** Resolves when the bindings are in effect. */
  untilBound(...names: readonly string[]): Promise<void>
  startWorkload(options: WorkloadOptions): Promise<Workload>
  /** What the cloud was asked for on paths that contain `part`. */
  seen(part: string): CloudRequest[]
  /** What was done through one of the servers. */
  audit(index?: number): Promise<AuditRecord[]>
}

/** Whether nobody vouched for the request. */
export const isUnsigned = ({ principal }: CloudRequest): boolean => principal === undefined

/** What of the daemon's `GET /status` is looked at. */
export interface DaemonStatus {
  /** Whether the server is reached. */
  readonly connected: boolean
  readonly workers: {
    readonly serving: number
    readonly configured: number
    readonly stats: readonly { readonly connections: number; readonly idleUpstreams: number }[]
  }
}

/** Empty for a process that has ended meanwhile. */
function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1')
  } catch {
    return ''
  }
}

export interface WorldOptions {
  readonly offlineLeaseSeconds?: number
  /** One server on SQLite unless given. */
  readonly replicas?: Replicas
}

/** Starts it all, joined and ready, with nothing declared yet. Needs root; one for each test file. */
export async function openWorld({ offlineLeaseSeconds, replicas }: WorldOptions = {}): Promise<World> {
  const place = openPlace()
  await using starting = new AsyncDisposableStack()
  starting.use(place)
  const { base } = place
  const layout = await planLayout(base, { cloud: { address: cloudAddress, port: 443 }, usualPorts: true })
  const emulatorFile = (name: string) => path.join(layout.emulatorState, name)
  const planned = planServers(layout, replicas)

  const emulator = startPart(place, layout, 'emulator', [
    `--listen=${cloudAddress}:443`,
    `--state-dir=${layout.emulatorState}`,
    `--issuer-ca=${path.join(planned.servers[0]!.data, 'server-ca.pem')}`,
  ])
  await until('the emulator listens', () => emulator.assertAlive() && existsSync(emulatorFile('address')))

  // What everyone here trusts as they would public authorities, and the workload's script: for every user to read.
  const authority = openAuthority('A public authority')
  const open = path.join(base, 'open')
  mkdirSync(open, { mode: 0o755 })
  const cloudCa = path.join(open, 'cloud-ca.pem')
  writeFileSync(cloudCa, readFileSync(emulatorFile('ca.pem'), 'utf8') + authority.caPem)
  const script = path.join(open, 'workload.py')
  copyFileSync(path.join(import.meta.dirname, 'workload.py'), script)

  const startServer = async ({ name, flags, data, health }: ServerPlace) => {
    const { part, assertAlive } = startPart(
      place,
      layout,
      'server',
      [
        ...flags,
        `--data-dir=${data}`,
        `--public-url=https://${planned.api}`,
        `--trust-domain=${trustDomain}`,
        `--exchange-ca=${cloudCa}`,
        '--admin-context=test',
        ...(offlineLeaseSeconds === undefined ? [] : [`--offline-lease-seconds=${offlineLeaseSeconds}`]),
      ],
      { name },
    )
    await until(
      `${name} is ready`,
      async () => assertAlive() && (await httpGet(health, '/readyz')).status === 200,
    )
    return part
  }
  const cli: World['cli'] = async (args, input = '') => {
    const env = { TIDEWAY_CONTEXTS: layout.contexts }
    const child = place.start('cli', [tideway, ...args], { env, stderr: 'pipe' })
    child.stdin!.end(input)
    const output = Promise.all([readAll(child.stdout!), readAll(child.stderr!)])
    const [code] = (await once(child, 'exit')) as [number]
    const [stdout, stderr] = await output
    return { code, stdout, stderr }
  }
  const servers = await Promise.all(planned.servers.map(startServer))

  const created = await cli(['node', 'token', 'create', '--group', daemonGroup, '-o', 'json'])
  assert.equal(created.code, 0)
  const join = JSON.parse(created.stdout) as { token: string; server: string; caHash: string }
  const controlSocket = path.join(layout.run, 'daemon.sock')
  let assertDaemonAlive = () => true
  const askDaemon = (route: string) => httpGet({ socketPath: controlSocket }, route)
  const daemonStatus = async () => JSON.parse((await askDaemon('/status')).text) as DaemonStatus
  const untilDaemonReady = async () => {
    const isReady = async () => {
      if ((await askDaemon('/ready')).status !== 200) return false
      const { workers } = await daemonStatus()
      return workers.serving === workers.configured
    }
    await until('the daemon is ready', async () => assertDaemonAlive() && (await isReady()))
  }
  const startDaemon = async () => {
    const { part, assertAlive } = startPart(
      place,
      layout,
      'daemon',
      [
        `--server=${join.server}`,
        '--join-token-file=-',
        `--ca-hash=${join.caHash}`,
        `--state-dir=${layout.daemonState}`,
        `--run-dir=${layout.run}`,
        `--upstream-ca=${cloudCa}`,
        '--hostname=test-node',
        '--capture=kernel',
        `--attach-cgroup=${place.host}`,
        `--user=${uids.daemon}`,
        '--workers=2',
      ],
      { input: join.token },
    )
    assertDaemonAlive = assertAlive
    await untilDaemonReady()
    return part
  }
  let daemon = await startDaemon()

  const context = loadContexts(layout.contexts).contexts[0]!
  const clients = planned.servers.map(({ api }) =>
    openResourceClient({
      url: `https://${api}`,
      token: () => context.token!,
      fetch: openFetch({ caPem: context.caPem }),
    }),
  )
  const api = clients[0]!
  const { accessKeyId, secretAccessKey } = readRootCredentials(emulatorFile('root-credentials'))
  const cloud = {
    address: cloudAddress,
    port: 443,
    caPem: readFileSync(emulatorFile('ca.pem'), 'utf8'),
    clock: systemClock,
    root: {
      kind: 'aws',
      accessKeyId,
      secretAccessKey: Secret.of(secretAccessKey),
      sessionToken: Secret.of(''),
      issuedAt: 0,
      expiresAt: Number.MAX_SAFE_INTEGER,
    },
  } as const

  const bundle = path.join(layout.run, 'certs', 'ca-certificates.crt')
  const workloads = starting.use(new AsyncDisposableStack())
  const owned = starting.move()
  return {
    place,
    layout,
    authority,
    api,
    apiOf: (index) => clients[index]!,
    joinToken: join.token,
    get server() {
      return servers[0]!
    },
    servers,
    get daemon() {
      return daemon
    },
    async startServer(index = 0) {
      servers[index] = await startServer(planned.servers[index]!)
    },
    async startDaemon() {
      daemon = await startDaemon()
    },
    untilDaemonReady,
    daemonStatus,
    daemonChildren() {
      const children = readFileSync(`/proc/${daemon.pid}/task/${daemon.pid}/children`, 'utf8')
      const pids = children.trim().split(' ').map(Number)
      const runs = (name: string) => (pid: number) => commandOf(pid).includes(name)
      return { workers: pids.filter(runs('worker')), attestor: pids.find(runs('attestor'))! }
    },
    cli,
    async apply(...documents) {
      const { code, stdout, stderr } = await cli(['ctl', 'apply', '-f', '-'], stream(...documents))
      assert.equal(code, 0, stdout + stderr)
    },
    async createRole(name, workloadId, actions = ['bedrock:*']) {
      const issuerUrl = `https://${planned.api}/oidc`
      const audience = 'sts.amazonaws.com'
      const subject = `spiffe://${trustDomain}/${workloadId}`
      const setup = { accountId, roleName: name, issuerUrl, audience, subject }
      await prepareAccount(cloud, {
        issuerUrl,
        audience,
        roleName: name,
        trustPolicy: JSON.stringify(trustPolicy(setup)),
        permissions: JSON.stringify(permissionsPolicy(actions, ['*'])),
      })
    },
    async untilBound(...names) {
      for (const name of names) {
        await until(`${name} is in effect`, async () => {
          const { status } = await api.get('CredentialBinding', name)
          return status?.state === 'OK'
        })
      }
    },
    async startWorkload({ uid, program = python, otherNetwork = false, under = [], env = {} }) {
      const inOtherNetwork = ['unshare', '-n', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh']
      const child = place.start(
        'work',
        [
          ...(otherNetwork ? inOtherNetwork : []),
          ...(uid === 0 ? [] : ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups']),
          ...under,
          program,
          script,
          bundle,
          cloudCa,
        ],
        { env },
      )
      return workloads.use(await driveWorkload(child))
    },
    seen(part) {
      const lines = readFileSync(emulatorFile('access.ndjson'), 'utf8').split('\n').filter(Boolean)
      return lines.map((line) => JSON.parse(line) as CloudRequest).filter(({ path }) => path.includes(part))
    },
    async audit(index = 0) {
      const records: AuditRecord[] = []
      const { signal } = new AbortController()
      for await (const record of clients[index]!.audit({ limit: 10_000, signal })) records.push(record)
      return records
    },
    async [Symbol.asyncDispose]() {
      const keep = process.env['KEEP_LOGS'] // a folder for the logs, to look into a failure
      if (keep !== undefined) cpSync(layout.logs, keep, { recursive: true })
      await daemon.end()
      await Promise.all(servers.map((server) => server.end()))
      await emulator.part.end()
      await owned.disposeAsync()
    },
  }
}
