import { readFile } from 'node:fs/promises'
import type { Clock } from '#base/clock'
import { Fault } from '#base/errors'
import { runTogether } from '#base/lifecycle'
import type { Log } from '#base/log'
import type { Metrics } from '#base/metrics'
import {
  awsExchange,
  openCredentials,
  openExchanges,
  openHttpClient,
  openProbes,
  serveRotations,
  stsEndpoint,
} from '#server/exchange'
import type { TokenIssuer } from '#server/issuer'
import type { Leadership, Term } from '#server/leadership'
import {
  noReports,
  openChanges,
  openReconciler,
  openScopes,
  openStreamReports,
  type Reconciler,
  type ScopeStreams,
  type StreamReports,
} from '#server/reconcile'
import type { Foundation } from './foundation.ts'
import type { ServerSettings } from './settings.ts'

/** Within which daemons come back to a server that has its store alone and was restarted. */
const returnMs = 5_000

/** What turns objects into credentials, scopes and states. */
export interface Control extends AsyncDisposable {
  readonly scopes: ScopeStreams
  readonly reports: StreamReports
  readonly reconciler: Reconciler
  /** What every server does. */
  run(options: { signal: AbortSignal }): Promise<void>
  /** What the one does that leads. */
  lead(term: Term): Promise<void>
}

/** @throws Fault SETTING_INVALID */
export async function openControl({
  settings,
  foundation,
  leadership,
  issuer,
  ownCa,
  clock,
  log,
  metrics,
}: {
  settings: ServerSettings
  foundation: Foundation
  leadership: Leadership
  issuer: TokenIssuer
  /** PEM of the CA of our own HTTPS port, where it is not a public one: to look at our own documents. */
  ownCa: string | undefined
  clock: Clock
  log: Log
  metrics: Metrics
}): Promise<Control> {
  await using stack = new AsyncDisposableStack()
  const { store, custody, audit, cache } = foundation
  const { exchangeCa, connectTo: overrides, trustDomain } = settings
  const common = { clock, log, metrics, changes: openChanges(), random: Math.random }
  const cloudCa = exchangeCa === undefined ? [] : [await readCa(exchangeCa)]
  const http = openHttpClient({ extraCa: cloudCa, overrides })
  const probeHttp = openHttpClient({
    extraCa: ownCa === undefined ? cloudCa : [...cloudCa, ownCa],
    overrides,
  })
  const exchange = awsExchange({ issuer, http, clock })
  const scopes = openScopes(common)
  const credentials = stack.use(await openCredentials({ ...common, custody }))
  const { id: server, missedAfterMs } = leadership
  const reports = missedAfterMs === 0 ? noReports : openStreamReports({ ...common, store, server, scopes })
  const reconciler = openReconciler({
    ...common,
    store,
    cache,
    credentials,
    scopes,
    reports,
    missedAfterMs: missedAfterMs || returnMs,
    trustDomain,
  })

  async function lead({ signal, store }: Term): Promise<void> {
    await using duties = new AsyncDisposableStack()
    const { custody, resources } = foundation.over(store)
    const exchanges = duties.use(
      await openExchanges({
        ...common,
        exchange,
        custody,
        audit,
        onUnreachable: ({ aws }) => probes.lookAgain(stsEndpoint(aws).origin),
      }),
    )
    const onRecovered = (origin: string | undefined) => exchanges.retry(origin)
    const probes = duties.use(openProbes({ ...common, issuer, http: probeHttp, onRecovered }))
    await runTogether(signal, [
      ({ signal }) => reconciler.lead({ signal, exchanges, probes, resources }),
      (run) => serveRotations(store, exchanges, run),
    ])
  }

  const owned = stack.move()
  return {
    scopes,
    reports,
    reconciler,
    run: ({ signal }) => runTogether(signal, [(run) => reconciler.run(run), (run) => reports.run(run)]),
    lead,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

async function readCa(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new Fault('SETTING_INVALID', `--exchange-ca ${file}: ${(error as Error).message}`, { cause: error })
  }
}
