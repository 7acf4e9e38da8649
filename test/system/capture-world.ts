// A small host of its own for the capture tests: namespaces for the network and for mounts, and one cgroup that
// stands for the whole machine, with the daemon and the workloads in cgroups below it.
import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { systemClock } from '#base/clock'
import { addLocalDefaultRoutes, bringLoopbackUp, mount, mountFlags, unshare } from '#base/syscall'
import {
  attachCapture,
  captureStatus,
  cgroupMount,
  releaseCapture,
  type CaptureStatus,
} from '#daemon/capture'
import { decode, encode, type Orders, type Seen } from './capture-daemon.ts'

/** Uids that the tests give to workloads; none needs an account. */
export const uids = {
  identified: 51001,
  stranger: 51002,
  unjudged: 51003,
  outsider: 51004,
  daemon: 51009,
} as const

const python = '/usr/bin/python3'

/** Reads the lines of a child, each to whoever waits for one. */
function lineReader(child: ChildProcess): () => Promise<string> {
  const lines = createInterface(child.stdout!)[Symbol.asyncIterator]()
  return async () => {
    const { value, done } = await lines.next()
    if (done) throw new Error('the process under test ended')
    return value
  }
}

/** Waits until `condition` holds; fails after 10 s. */
export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let round = 0; round < 1000; round++) {
    if (await condition()) return
    await delay(10)
  }
  assert.fail(`still not true after 10 s: ${what}`)
}

export type Outcome = { text?: string; peer?: string; error?: string } & Record<string, unknown>

/** A workload: a process that connects when told. */
export interface Agent {
  readonly pid: number
  /** Runs one action of capture-agent.py. */
  do(action: string, parameters?: object): Promise<Outcome>
  /** What a connect to `host` comes to: `captured IDENTITY HOST PORT`, `direct`, or the name of an error. */
  reach(host: string, port: number, mode?: string): Promise<string>
  end(): Promise<void>
}

export interface Daemon {
  readonly child: ChildProcess
  /** The proxy port. */
  readonly port: number
  order(orders: Orders): Promise<boolean>
  /** What it saw of the connections since the last call, oldest first. */
  seen(): Promise<Seen[]>
  /** Accepted connections without a record, up to the last order or look. */
  missing(): number
  end(signal?: NodeJS.Signals): Promise<void>
}

export interface World extends AsyncDisposable {
  readonly pinDirectory: string
  /** The cgroup that stands for the machine. */
  readonly host: string
  /** Port of a listener on every address, which answers `direct`. */
  readonly cloudPort: number
  cgroup(name: string): string
  attach(options?: { openPerCgroup?: number }): Promise<{ upgraded: boolean }>
  startDaemon(): Promise<Daemon>
  startAgent(options: AgentOptions): Promise<Agent>
  status(): Extract<CaptureStatus, { attached: true }>
}

export interface AgentOptions {
  readonly uid: number
  /** Name of a cgroup below the host's; default `work`. */
  readonly cgroup?: string
  /** In a network namespace of its own, in which every address is local too. */
  readonly otherNetwork?: boolean
}

/** Starts `command` in a cgroup: it joins before it executes, so that all its sockets belong there. */
function startIn(cgroup: string, command: readonly string[]): ChildProcess {
  const script = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
  const child = spawn('/bin/sh', ['-c', script, cgroup, ...command], { stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdin.on('error', () => {})
  return child
}

async function endChild(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill(signal)
  await exited
}

async function startAgent(cgroup: string, { uid, otherNetwork }: AgentOptions): Promise<Agent> {
  const script = new URL('capture-agent.py', import.meta.url).pathname
  const isolated = otherNetwork
    ? [
        'unshare',
        '-n',
        'sh',
        '-c',
        'ip link set lo up && ip route add local default dev lo && exec "$@"',
        'sh',
      ]
    : []
  const ids = ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups']
  const child = startIn(cgroup, [...isolated, ...(uid === 0 ? [] : ids), python, script])
  const nextLine = lineReader(child)
  const { pid } = JSON.parse(await nextLine()) as { pid: number }
  const run = async (action: string, parameters: object = {}) => {
    child.stdin!.write(`${JSON.stringify({ do: action, ...parameters })}\n`)
    return JSON.parse(await nextLine()) as Outcome
  }
  return {
    pid,
    do: run,
    async reach(host, port, mode = 'plain') {
      const { text, error } = await run('connect', { host, port, mode })
      return error ?? (text || 'closed')
    },
    end: () => endChild(child, 'SIGKILL'),
  }
}

async function startDaemon(cgroup: string, pinDirectory: string): Promise<Daemon> {
  const script = new URL('capture-daemon.ts', import.meta.url).pathname
  const child = startIn(cgroup, [
    'setpriv',
    `--reuid=${uids.daemon}`,
    `--regid=${uids.daemon}`,
    '--clear-groups',
    '--bounding-set=-all',
    '--inh-caps=-all',
    '--no-new-privs',
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    script,
    pinDirectory,
  ])
  const nextLine = lineReader(child)
  const { port } = decode(await nextLine()) as { port: number }
  let seen: Seen[] = []
  let missing = 0
  const answers: ((done: boolean) => void)[] = []
  void (async () => {
    for (;;) {
      const line = decode(await nextLine()) as Seen | { done: boolean } | { missing: string }
      if ('done' in line) answers.shift()!(line.done)
      else if ('missing' in line) missing++
      else seen.push(line)
    }
  })().catch(() => {})
  const order = async (orders: Orders) => {
    const answered = new Promise<boolean>((resolve) => answers.push(resolve))
    child.stdin!.write(`${encode(orders)}\n`)
    return await answered
  }
  return {
    child,
    port,
    order,
    async seen() {
      await order({}) // its answer comes after all that was seen before
      const taken = seen
      seen = []
      return taken
    },
    missing: () => missing,
    end: (signal = 'SIGKILL') => endChild(child, signal),
  }
}

let isolated = false
/** Moves this test process into namespaces of its own, once. Its thread pool stays behind: no async file calls. */
function isolate(): void {
  if (isolated) return
  unshare('network', 'mount')
  mount({ target: '/', flags: mountFlags.private | mountFlags.recursive })
  bringLoopbackUp()
  addLocalDefaultRoutes()
  isolated = true
}

/** Kills what is left in a cgroup and removes it with all below. */
async function removeCgroup(path: string, below: readonly string[]): Promise<void> {
  for (const cgroup of [...below.toReversed().map((name) => join(path, name)), path]) {
    if (!existsSync(cgroup)) continue
    const members = () => readFileSync(join(cgroup, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean)
    for (const pid of members()) process.kill(Number(pid), 'SIGKILL')
    await until(() => members().length === 0, `${cgroup} is empty`)
    rmdirSync(cgroup)
  }
}

/** Needs root. */
export async function openWorld(): Promise<World> {
  assert.equal(process.getuid!(), 0, 'the capture tests need root')
  isolate()
  const cloud = net.createServer((socket) => {
    socket.on('error', () => {})
    socket.end('direct\n')
  })
  cloud.listen({ host: '::', port: 0, backlog: 512 })
  await once(cloud, 'listening')

  const host = mkdtempSync(join(cgroupMount(), 'tideway-test-'))
  const cgroups: string[] = []
  const cgroup = (name: string) => {
    if (!cgroups.includes(name)) {
      mkdirSync(join(host, name))
      cgroups.push(name)
    }
    return join(host, name)
  }
  const pinDirectory = mkdtempSync(join(tmpdir(), 'tideway-pins-'))
  const children: { end(): Promise<void> }[] = []
  const tracked = <T extends { end(): Promise<void> }>(child: T): T => {
    children.push(child)
    return child
  }
  return {
    pinDirectory,
    host,
    cloudPort: (cloud.address() as net.AddressInfo).port,
    cgroup,
    attach: (options = {}) =>
      attachCapture({
        attachCgroup: host,
        daemonCgroup: cgroup('daemon'),
        pinDirectory,
        owner: { uid: uids.daemon, gid: uids.daemon },
        clock: systemClock,
        ...options,
      }),
    startDaemon: async () => tracked(await startDaemon(cgroup('daemon'), pinDirectory)),
    startAgent: async (options) => tracked(await startAgent(cgroup(options.cgroup ?? 'work'), options)),
    status() {
      const status = captureStatus(pinDirectory)
      assert.ok(status.attached)
      return status
    },
    async [Symbol.asyncDispose]() {
      for (const child of children) await child.end()
      releaseCapture(pinDirectory)
      await removeCgroup(host, cgroups)
      cloud.close()
    },
  }
}
