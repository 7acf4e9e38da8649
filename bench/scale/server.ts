/** The server under measurement: the real program as a process of its own, and what the system says of it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { systemClock } from '#base/clock'
import { loadContexts, openFetch } from '#cli/context'
import { openResourceClient, type ResourceClient } from '#client/resource-api'
import { cpuMicros, memoryKib } from '../usage.ts'

const program = resolve(import.meta.dirname, '../../bin/tideway')
const any = '127.0.0.1:0'
const startTimeoutMs = 60_000
const stopTimeoutMs = 30_000

/** CPU time of processes so far, and how long their main threads were ready to run and had no core: one of them, on average. */
export interface Share {
  readonly cpuMs: number
  readonly waitedMs: number
}

export function shareOf(pids: readonly number[]): Share {
  const waited = pids.map((pid) => {
    const [, nanoseconds] = readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ')
    return Number(nanoseconds) / 1e6
  })
  const waitedMs = waited.reduce((sum, ms) => sum + ms, 0) / waited.length
  return { cpuMs: cpuMicros(pids) / 1000, waitedMs }
}

/** One moment of the server. */
export interface Reading extends Share {
  readonly atMs: number
  /** Samples of the event loop's delay so far, by upper bound in seconds. */
  readonly loopDelays: ReadonlyMap<number, number>
}

export interface Server extends AsyncDisposable {
  /** Of the process of the moment. */
  readonly pid: number
  readonly url: string
  readonly caHash: string
  readonly client: ResourceClient
  read(): Promise<Reading>
  /** MiB. */
  memory(): { readonly resident: number; readonly proportional: number }
  /** The value of a gauge or counter without labels. */
  metric(name: string): Promise<number>
  /** Stops it and starts it anew on the same ports and data; resolves when it is ready. */
  restart(): Promise<void>
}

interface Ready {
  readonly url: string
  readonly nodeEndpoint: string
  readonly healthUrl: string
  readonly caHash: string
}

function readyIn(logFile: string): Ready | undefined {
  for (const line of readFileSync(logFile, 'utf8').split('\n')) {
    if (line.includes('server.ready')) return JSON.parse(line) as Ready
  }
  return undefined
}

interface Place {
  readonly folder: string
  readonly listen: string
  readonly nodeListen: string
  readonly signal: AbortSignal
}

/** One process of the server. */
async function launch({ folder, listen, nodeListen, signal }: Place) {
  const logFile = join(folder, 'server.log')
  const args = ['--data-dir', join(folder, 'data'), '--listen', listen, '--node-listen', nodeListen]
  const exchangeCa = join(folder, 'cloud-ca.pem')
  const log = openSync(logFile, 'w', 0o600)
  // A process group of its own: Ctrl-C reaches us alone, and we end it.
  const child = spawn(
    program,
    ['server', ...args, '--health-listen', any, '--trust-domain', 'scale.test', '--exchange-ca', exchangeCa],
    {
      detached: true,
      stdio: ['ignore', log, log],
      env: { ...process.env, TIDEWAY_CONTEXTS: join(folder, 'contexts.yaml') },
    },
  )
  closeSync(log)
  const ended = once(child, 'exit')
  async function stop(): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGTERM')
    const late = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs)
    await ended
    clearTimeout(late)
  }
  try {
    const until = systemClock.monotonic() + startTimeoutMs
    let ready = readyIn(logFile)
    while (!ready) {
      signal.throwIfAborted()
      if (child.exitCode !== null || systemClock.monotonic() > until) {
        throw new Error(`the server did not start:\n${readFileSync(logFile, 'utf8').slice(-2000)}`)
      }
      await systemClock.sleep(50, { signal })
      ready = readyIn(logFile)
    }
    return { pid: child.pid!, ready, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Starts `tideway server` with an own data folder below `folder`; exchanges trust `exchangeCaPem`. */
export async function startServer(
  folder: string,
  { exchangeCaPem, signal }: { exchangeCaPem: string; signal: AbortSignal },
): Promise<Server> {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'cloud-ca.pem'), exchangeCaPem)
  let running = await launch({ folder, listen: any, nodeListen: any, signal })
  const { url, nodeEndpoint, caHash } = running.ready
  const [context] = loadContexts(join(folder, 'contexts.yaml')).contexts
  const { token, caPem } = context!
  const client = openResourceClient({ url, token: () => token!, fetch: openFetch({ caPem, signal }) })
  const scrape = async () => await (await fetch(`${running.ready.healthUrl}/metrics`, { signal })).text()
  return {
    get pid() {
      return running.pid
    },
    url,
    caHash,
    client,
    async read() {
      const text = await scrape()
      return {
        atMs: systemClock.monotonic(),
        ...shareOf([running.pid]),
        loopDelays: bucketsOf(text, 'tideway_event_loop_delay_seconds'),
      }
    },
    memory() {
      const { resident, proportional } = memoryKib([running.pid])
      return { resident: resident / 1024, proportional: proportional / 1024 }
    },
    async metric(name) {
      return Number(new RegExp(`^tideway_${name} (.+)$`, 'm').exec(await scrape())?.[1] ?? 0)
    },
    async restart() {
      await running.stop()
      running = await launch({ folder, listen: new URL(url).host, nodeListen: nodeEndpoint, signal })
    },
    [Symbol.asyncDispose]: () => running.stop(),
  }
}

function bucketsOf(text: string, name: string): Map<number, number> {
  const lines = text.matchAll(new RegExp(`^${name}_bucket\\{le="([^"]+)"\\} (\\d+)$`, 'gm'))
  return new Map(
    [...lines].map(([, bound, count]) => [bound === '+Inf' ? Infinity : Number(bound), Number(count)]),
  )
}

/** What `share` of the samples between two readings did not exceed, in milliseconds: an upper bound. */
export function loopDelayMs(from: Reading, to: Reading, share: number): number {
  const counts = [...to.loopDelays].map(([bound, count]) => ({
    bound,
    count: count - (from.loopDelays.get(bound) ?? 0),
  }))
  const total = Math.max(0, ...counts.map(({ count }) => count))
  return (counts.find(({ count }) => count >= total * share)?.bound ?? 0) * 1000
}
