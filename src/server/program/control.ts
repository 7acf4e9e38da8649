import { readFile } from 'node:fs/promises'
import type { Clock } from '#base/clock'
import { Fault } from '#base/errors'
import { openBell } from '#base/lifecycle'
import type { Log } from '#base/log'
import type { Metrics } from '#base/metrics'
import { awsExchange, openExchanges, openHttpClient, openProbes } from '#server/exchange'
import type { TokenIssuer } from '#server/issuer'
import { openReconciler, openScopes, type Reconciler, type ScopeStreams } from '#server/reconcile'
import type { Foundation } from './foundation.ts'
import type { ServerSettings } from './settings.ts'

/** What turns objects into credentials, scopes and states. */
export interface Control extends AsyncDisposable {
  readonly scopes: ScopeStreams
  readonly reconciler: Reconciler
}

/** @throws Fault SETTING_INVALID */
export async function openControl({
  settings,
  foundation,
  issuer,
  ownCa,
  clock,
  log,
  metrics,
}: {
  settings: ServerSettings
  foundation: Foundation
  issuer: TokenIssuer
  /** PEM of the CA of our own HTTPS port, where it is not a public one: to look at our own documents. */
  ownCa: string | undefined
  clock: Clock
  log: Log
  metrics: Metrics
}): Promise<Control> {
  await using stack = new AsyncDisposableStack()
  const { custody, audit, cache, resources } = foundation
  const { exchangeCa, connectTo: overrides, trustDomain } = settings
  const common = { clock, log, metrics, changes: openBell(), random: Math.random }
  const cloudCa = exchangeCa === undefined ? [] : [await readCa(exchangeCa)]
  const http = openHttpClient({ extraCa: cloudCa, overrides })
  const probeHttp = openHttpClient({
    extraCa: ownCa === undefined ? cloudCa : [...cloudCa, ownCa],
    overrides,
  })
  const exchange = awsExchange({ issuer, http, clock })
  const scopes = openScopes(common)
  const exchanges = stack.use(await openExchanges({ ...common, exchange, custody, audit }))
  const probes = stack.use(openProbes({ ...common, issuer, http: probeHttp }))
  const reconciler = openReconciler({
    ...common,
    cache,
    resources,
    exchanges,
    probes,
    scopes,
    trustDomain,
  })
  const owned = stack.move()
  return { scopes, reconciler, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

async function readCa(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new Fault('SETTING_INVALID', `--exchange-ca ${file}: ${(error as Error).message}`, { cause: error })
  }
}
