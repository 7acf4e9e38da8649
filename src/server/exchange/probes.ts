import { backoffMs, type Clock, type EpochMs } from '#base/clock'
import { isDeepStrictEqual } from 'node:util'
import type { Bell } from '#base/lifecycle'
import type { Log } from '#base/log'
import type { TokenIssuer } from '#server/issuer'
import { describeUnreachable } from './failure.ts'
import type { HttpClient } from './http-client.ts'

/** What a look from outside says; `pending` until the first answer. */
export type Probe =
  | { readonly state: 'pending' }
  | { readonly state: 'ok' }
  | { readonly state: 'failed'; readonly reason: string; readonly message: string }

/**
 * Looks, again and again, at what an exchange needs before there is one: the issuer's documents at their public
 * URL, and the exchange endpoints. It sees what this server can see, which is not always what a cloud can.
 */
export interface Probes extends AsyncDisposable {
  /** The endpoints to look at from now on. */
  watch(endpoints: ReadonlySet<string>): void
  discovery(): Probe
  endpoint(origin: string): Probe
}

const okEveryMs = 300_000
const retry = { baseMs: 500, maxMs: 30_000 }
const maxNapMs = 60_000

interface Watcher {
  probe: Probe
  readonly stop: AbortController
  readonly done: Promise<void>
}

type Look = (signal: AbortSignal) => Promise<Probe>

export function openProbes({
  issuer,
  http,
  clock,
  log,
  random,
  changes,
}: {
  issuer: Pick<TokenIssuer, 'url' | 'discovery' | 'jwks'>
  http: HttpClient
  clock: Clock
  log: Log
  random: () => number
  /** Rung when an answer changed. */
  changes: Bell
}): Probes {
  const endpoints = new Map<string, Watcher>()

  async function fetchJson(url: string, signal: AbortSignal): Promise<unknown> {
    const { status, body } = await http.request(new URL(url), { method: 'GET', signal })
    if (status !== 200) throw new Error(`answer ${status}`)
    try {
      return JSON.parse(body.toString('utf8')) as unknown
    } catch {
      throw new Error('the answer is not JSON')
    }
  }

  async function lookAtDiscovery(signal: AbortSignal): Promise<Probe> {
    const discoveryUrl = `${issuer.url}/.well-known/openid-configuration`
    const discovery = issuer.discovery()
    const failed = (reason: string, message: string): Probe => ({ state: 'failed', reason, message })
    try {
      const published = (await fetchJson(discoveryUrl, signal)) as Record<string, unknown> | null
      if (published?.['issuer'] !== issuer.url || published['jwks_uri'] !== discovery['jwks_uri']) {
        return failed(
          'DiscoveryDiffers',
          `${discoveryUrl} is not the discovery document of this server: publish it there again, or correct --public-url`,
        )
      }
      const jwks = (await fetchJson(String(discovery['jwks_uri']), signal)) as { keys?: unknown[] } | null
      const missing = issuer
        .jwks()
        .keys.find((key) => !jwks?.keys?.some((other) => isDeepStrictEqual(other, key)))
      if (!missing) return { state: 'ok' }
      return failed(
        'JwksDiffers',
        `${String(discovery['jwks_uri'])} lacks the key ${String(missing['kid'])} of this server: publish it there again`,
      )
    } catch (error) {
      signal.throwIfAborted()
      const { reason, message } = describeUnreachable(issuer.url, error)
      return failed(
        reason,
        `the issuer's discovery document cannot be fetched at its public URL: ${message}; clouds must be able to ` +
          `read ${discoveryUrl}`,
      )
    }
  }

  const lookAtEndpoint =
    (origin: string): Look =>
    async (signal) => {
      try {
        // Any answer will do, an error too: it is the service that speaks.
        await http.request(new URL('/', origin), { method: 'GET', signal })
        return { state: 'ok' }
      } catch (error) {
        signal.throwIfAborted()
        const { reason, message } = describeUnreachable(origin, error)
        return { state: 'failed', reason, message }
      }
    }

  function watch(what: string, look: Look): Watcher {
    const stop = new AbortController()
    const watcher: { probe: Probe } = { probe: { state: 'pending' } }
    async function run(): Promise<void> {
      for (let failures = 0; ;) {
        const probe = await look(stop.signal)
        failures = probe.state === 'ok' ? 0 : failures + 1
        if (!isDeepStrictEqual(probe, watcher.probe)) {
          watcher.probe = probe
          log.info('exchange.probe', { what, ...probe })
          changes.ring()
        }
        const wait = failures === 0 ? okEveryMs : backoffMs(failures - 1, { ...retry, random })
        await sleepUntil(clock.now() + wait, stop.signal)
      }
    }
    const done = run().catch((error: unknown) => {
      if (!stop.signal.aborted) log.error('exchange.probe-stopped', { what, error })
    })
    return Object.assign(watcher, { stop, done })
  }

  async function sleepUntil(at: EpochMs, signal: AbortSignal): Promise<void> {
    for (let left = at - clock.now(); left > 0; left = at - clock.now()) {
      await clock.sleep(Math.min(left, maxNapMs), { signal, unref: true })
    }
  }

  /** Looked at once there is a source that needs it. */
  let discovery: Watcher | undefined
  return {
    discovery: () => discovery?.probe ?? { state: 'pending' },
    endpoint: (origin) => endpoints.get(origin)?.probe ?? { state: 'pending' },
    watch(origins) {
      if (origins.size > 0) discovery ??= watch('discovery', lookAtDiscovery)
      for (const [origin, watcher] of endpoints) {
        if (origins.has(origin)) continue
        watcher.stop.abort()
        endpoints.delete(origin)
      }
      for (const origin of origins) {
        if (!endpoints.has(origin)) endpoints.set(origin, watch(origin, lookAtEndpoint(origin)))
      }
    },
    async [Symbol.asyncDispose]() {
      const watchers = [...(discovery ? [discovery] : []), ...endpoints.values()]
      for (const { stop } of watchers) stop.abort()
      await Promise.all(watchers.map(({ done }) => done))
    },
  }
}
