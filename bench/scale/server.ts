/** The server under measurement: the real program as a process of its own, and what the system says of it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { systemClock } from '#base/clock'
import { loadContexts, openFetch } from '#cli/context'
import { openResourceClient, type ResourceClient } from '#client/resource-api'
import { cpuMicros, memoryKib } from '../usage.ts'

const program = resolve(import.meta.dirname, '../../bin/tideway')
const startTimeoutMs = 60_000
const stopTimeoutMs = 30_000

/** One moment of the server. */
export interface Reading {
  readonly atMs: number
  readonly cpuMs: number
  /** Samples of the event loop's delay so far, by upper bound in seconds. */
  readonly loopDelays: ReadonlyMap<number, number>
}

export interface Server extends AsyncDisposable {
  readonly pid: number
  readonly url: string
  readonly caHash: string
  readonly client: ResourceClient
  read(): Promise<Reading>
  /** MiB. */
  memory(): { readonly resident: number; readonly proportional: number }
  /** The value of a gauge or counter without labels. */
  metric(name: string): Promise<number>
}

interface Ready {
  readonly url: string
  readonly healthUrl: string
  readonly caHash: string
}

function readyIn(logFile: string): Ready | undefined {
  for (const line of readFileSync(logFile, 'utf8').split('\n')) {
    if (line.includes('server.ready')) return JSON.parse(line) as Ready
  }
  return undefined
}

/** Starts `tideway server` with an own data folder below `folder`; exchanges trust `exchangeCaPem`. */
export async function startServer(
  folder: string,
  { exchangeCaPem, signal }: { exchangeCaPem: string; signal: AbortSignal },
): Promise<Server> {
  mkdirSync(folder, { recursive: true })
  const logFile = join(folder, 'server.log')
  const contexts = join(folder, 'contexts.yaml')
  const exchangeCa = join(folder, 'cloud-ca.pem')
  writeFileSync(exchangeCa, exchangeCaPem)
  const any = '127.0.0.1:0'
  const args = ['--data-dir', join(folder, 'data'), '--listen', any, '--node-listen', any]
  const log = openSync(logFile, 'a', 0o600)
  // A process group of its own: Ctrl-C reaches us alone, and we end it.
  const child = spawn(
    program,
    ['server', ...args, '--health-listen', any, '--trust-domain', 'scale.test', '--exchange-ca', exchangeCa],
    { detached: true, stdio: ['ignore', log, log], env: { ...process.env, TIDEWAY_CONTEXTS: contexts } },
  )
  const ended = once(child, 'exit')
  const pid = child.pid!
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
    const { url, healthUrl, caHash } = ready
    const [context] = loadContexts(contexts).contexts
    const { token, caPem } = context!
    const client = openResourceClient({ url, token: () => token!, fetch: openFetch({ caPem, signal }) })
    const scrape = async () => await (await fetch(`${healthUrl}/metrics`, { signal })).text()
    return {
      pid,
      url,
      caHash,
      client,
      async read() {
        const text = await scrape()
        return {
          atMs: systemClock.monotonic(),
          cpuMs: cpuMicros([pid]) / 1000,
          loopDelays: bucketsOf(text, 'tideway_event_loop_delay_seconds'),
        }
      },
      memory() {
        const { resident, proportional } = memoryKib([pid])
        return { resident: resident / 1024, proportional: proportional / 1024 }
      },
      async metric(name) {
        return Number(new RegExp(`^tideway_${name} (.+)$`, 'm').exec(await scrape())?.[1] ?? 0)
      },
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await stop()
    throw error
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
