import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { Clock } from '#base/clock'
import { Fault } from '#base/errors'
import type { Log } from '#base/log'
import type { Metrics } from '#base/metrics'
import type { TrustDomain } from '#model/identity'
import { accessAdmission } from '#server/access'
import { openAuditTrail, type AuditTrail } from '#server/audit'
import { isReservedWorkloadId } from '#server/enrollment'
import { custodyOver, loadSealingKey, openCustody, openSealer, type Custody } from '#server/keys'
import { namespaceAdmission } from '#server/lifecycle'
import { bindingAdmission, identityAdmission, plainTextAdmission } from '#server/reconcile'
import {
  openResourceCache,
  openResources,
  type ResourceCache,
  type Resources,
  type Store,
} from '#server/store'
import { openStore, type SecretPlaces } from './open-store.ts'
import type { ServerSettings } from './settings.ts'

/** What everything else stands on: what is kept, and kept secret, in the data folder. */
export interface Foundation extends AsyncDisposable {
  readonly store: Store
  readonly custody: Custody
  readonly audit: AuditTrail
  readonly resources: Resources
  readonly cache: ResourceCache
  /** Custody and objects through another view of the store, for writes that were judged already. */
  over(store: Store): { readonly custody: Custody; readonly resources: Resources }
}

/**
 * Opens the data folder, for one server at a time.
 * @throws Fault STORE_UNAVAILABLE, STORE_CORRUPT, SEALING_KEY_MISSING, SEALING_KEY_WRONG, SETTING_INVALID,
 *   AUDIT_UNAVAILABLE
 */
export async function openFoundation({
  settings,
  places,
  clock,
  log,
  metrics,
}: {
  settings: ServerSettings
  places: SecretPlaces
  clock: Clock
  log: Log
  metrics: Metrics
}): Promise<Foundation> {
  await using stack = new AsyncDisposableStack()
  const { dataDir, sealingKeyFile, trustDomain, weakIdentities } = settings
  const store = stack.use(await openStore(settings, { ...places, clock, log }))
  const file = sealingKeyFile ?? join(dataDir, 'sealing-key')
  const sealingKey = await loadSealingKey({
    store,
    file,
    credentialsDirectory: places.credentialsDirectory,
  })
  const custody = await openCustody(store, sealingKey)
  await holdTrustDomain(store, trustDomain)
  const audit = stack.use(await openAuditTrail({ directory: join(dataDir, 'audit'), clock, log, metrics }))

  const opened: { cache?: ResourceCache } = {}
  const cacheOf = () => opened.cache!
  const admission = identityAdmission({
    identities: (workloadId) => opened.cache?.ofWorkload('WorkloadIdentity', workloadId) ?? [],
    daemons: (workloadId) => opened.cache?.ofWorkload('Daemon', workloadId) ?? [],
    isReserved: isReservedWorkloadId,
    weakIdentities,
  })
  const sealer = openSealer(sealingKey)
  const admissions = [
    accessAdmission(cacheOf),
    namespaceAdmission,
    plainTextAdmission(cacheOf),
    admission,
    bindingAdmission(cacheOf, { trustDomain, clock }),
  ]
  const resources = openResources(store, { clock, random: randomBytes, sealer, admissions })
  const cache = (opened.cache = stack.use(await openResourceCache(resources)))
  const owned = stack.move()
  return {
    store,
    custody,
    audit,
    resources,
    cache,
    over: (store) => ({
      custody: custodyOver(store, sealingKey),
      resources: openResources(store, { clock, random: randomBytes, sealer }),
    }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** SPIFFE IDs, certificates and trust policies in clouds hold the trust domain: it stays what it was at first. */
async function holdTrustDomain(store: Store, trustDomain: TrustDomain): Promise<void> {
  const key = '/server/trust-domain'
  const value = Buffer.from(trustDomain)
  await store.transaction([{ key, modRevision: 0 }], [{ type: 'put', key, value }])
  const held = Buffer.from((await store.get(key))!.value).toString()
  if (held === trustDomain) return
  throw new Fault('SETTING_INVALID', `the store belongs to the trust domain ${held}, not ${trustDomain}`, {
    hint: `start with --trust-domain ${held}, or with another --data-dir or --store`,
  })
}
