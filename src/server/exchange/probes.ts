import { isDeepStrictEqual } from 'node:util'
import { backoffMs, type Clock } from '#base/clock'
import { afterAtMost, openBell, type Bell } from '#base/lifecycle'
import type { Log } from '#base/log'
import type { Reason } from '#model/resource'
import type { TokenIssuer } from '#server/issuer'
import { describeUnreachable } from './failure.ts'
import type { HttpClient } from './http-client.ts'

/** What a look from outside says; `pending` until the first answer. */
export type Probe =
  | { readonly state: 'pending' }
  | { readonly state: 'ok' }
  | { readonly state: 'failed'; readonly reason: Reason; readonly message: string }

/**
 * Looks, again and again, at what an exchange needs before there is one: the issuer's documents at their public
 * URL, and the exchange endpoints. It sees what this server can see, which is not always what a cloud can.
 */
export interface Probes extends AsyncDisposable {
  /** The endpoints to look at from now on. */
  watch(endpoints: ReadonlySet<string>): void
  discovery(): Probe
  endpoint(origin: string): Probe
  /** Somebody met with difficulties at an endpoint: looks at it, and at the issuer, now and not in a minute. */
  lookAgain(origin: string): void
}

const okEveryMs = 60_000
const retry = { baseMs: 1_000, maxMs: 5_000 }
/** However often it is asked to look again. */
const leastMs = 1_000
/** Of a look: an exchange may take longer, but what does not answer in this time is in trouble. */
const patienceMs = 5_000

interface Watcher {
  probe: Probe
  readonly again: Bell
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
  onRecovered = () => {},
}: {
  issuer: Pick<TokenIssuer, 'url' | 'discovery' | 'jwks'>
  http: HttpClient
  clock: Clock
  log: Log
  random: () => number
  /** Rung when an answer changed. */
  changes: Bell
  /** Told when an endpoint, or (undefined) the issuer, is as it should be after it was not. */
  onRecovered?: (origin: string | undefined) => void
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
    const failed = (reason: Reason, message: string): Probe => ({ state: 'failed', reason, message })
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
        const { reason, message } = describeUnreachable(origin, error)
        return { state: 'failed', reason, message }
      }
    }

  function watch(origin: string | undefined, look: Look): Watcher {
    const what = origin ?? 'discovery'
    const again = openBell()
    const stop = new AbortController()
    const { signal } = stop
    const watcher: { probe: Probe } = { probe: { state: 'pending' } }
    async function run(): Promise<void> {
      for (let failures = 0; !signal.aborted;) {
        const heard = again.rings
        const before = watcher.probe
        const probe = await look(AbortSignal.any([signal, AbortSignal.timeout(patienceMs)]))
        signal.throwIfAborted()
        failures = probe.state === 'ok' ? 0 : failures + 1
        if (!isDeepStrictEqual(probe, before)) {
          watcher.probe = probe
          log.info('exchange.probe', { what, ...probe })
          changes.ring()
          if (probe.state === 'ok' && before.state === 'failed') onRecovered(origin)
        }
        const wait = failures === 0 ? okEveryMs : backoffMs(failures - 1, { ...retry, random })
        await clock.sleep(Math.min(wait, leastMs), { signal, unref: true })
        await afterAtMost(again, heard, { ms: Math.max(0, wait - leastMs), clock, signal })
      }
    }
    const done = run().catch((error: unknown) => {
      if (!signal.aborted) log.error('exchange.probe-stopped', { what, error })
    })
    return Object.assign(watcher, { again, stop, done })
  }

  /** Looked at once there is a source that needs it. */
  let discovery: Watcher | undefined
  return {
    discovery: () => discovery?.probe ?? { state: 'pending' },
    endpoint: (origin) => endpoints.get(origin)?.probe ?? { state: 'pending' },
    watch(origins) {
      if (origins.size > 0) discovery ??= watch(undefined, lookAtDiscovery)
      for (const [origin, watcher] of endpoints) {
        if (origins.has(origin)) continue
        watcher.stop.abort()
        endpoints.delete(origin)
      }
      for (const origin of origins) {
        if (!endpoints.has(origin)) endpoints.set(origin, watch(origin, lookAtEndpoint(origin)))
      }
    },
    lookAgain(origin) {
      discovery?.again.ring()
      endpoints.get(origin)?.again.ring()
    },
    async [Symbol.asyncDispose]() {
      const watchers = [...(discovery ? [discovery] : []), ...endpoints.values()]
      for (const { stop } of watchers) stop.abort()
      await Promise.all(watchers.map(({ done }) => done))
    },
  }
}
