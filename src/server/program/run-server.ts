import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { systemClock, type Clock } from '#base/clock'
import { Fault, isFault } from '#base/errors'
import { makeNamedFolder } from '#base/files'
import { openReadiness, returnFreedMemory, runTogether, untilAborted } from '#base/lifecycle'
import { openLog, type Log } from '#base/log'
import { observeEventLoop, openMetrics } from '#base/metrics'
import type { Secret } from '#base/secret'
import { setDumpable } from '#base/syscall'
import { ensureAdminToken, ensureBuiltInAccess, openAccessControl, tokenLifetime } from '#server/access'
import { openApi } from '#server/api'
import { enrollmentPlugin, openNodeServer } from '#server/enrollment'
import { openElection, openSoleLeadership } from '#server/leadership'
import { issuerRoutes, openAccountKeys, openCertificateAuthority, openTokenIssuer } from '#server/issuer'
import { openLifecycle } from '#server/lifecycle'
import { backupRoute } from './backup-route.ts'
import { openControl } from './control.ts'
import { openFoundation } from './foundation.ts'
import { openHealthServer } from './health.ts'
import type { SecretPlaces } from './open-store.ts'
import { rotateRoute } from './rotate-route.ts'
import {
  checkSettings,
  formatAuthority,
  reachableHost,
  type Listen,
  type ServerSettings,
} from './settings.ts'
import { openStoreCheck } from './store-check.ts'
import { openFileIdentity, openOwnIdentity } from './tls.ts'
import { version } from './version.ts'

/** How to reach a server that is up. */
export interface ServerReady {
  /** Base URL of the resource API. */
  readonly url: string
  readonly issuerUrl: string
  /** `host:port` for daemons. */
  readonly nodeEndpoint: string
  readonly healthUrl: string
  readonly dataDir: string
  /** Of the server's own CA, where no certificate was given. */
  readonly caHash?: string
  readonly caFile?: string
}

/** The administrator's access: what a context holds. */
export interface AdminAccess {
  readonly name: string
  readonly server: string
  readonly token: Secret
  readonly caPem?: string
}

const restartAfterMs = 1_000

type Service = (options: { signal: AbortSignal }) => Promise<void>

export interface RunServerOptions extends SecretPlaces {
  readonly signal: AbortSignal
  readonly onReady?: (ready: ServerReady) => void
  /**
   * Saves the administrator's token before it counts: called once in the life of a data folder and when the token is
   * reset, unless `adminContext` is `none`.
   */
  readonly saveAdminAccess?: (access: AdminAccess) => void | Promise<void>
  readonly clock?: Clock
  readonly log?: Log
}

/**
 * Runs the control plane until `signal` aborts.
 * @throws Fault SETTING_INVALID, STORE_UNAVAILABLE (another server has the data folder), STORE_CORRUPT,
 *   SEALING_KEY_MISSING, SEALING_KEY_WRONG
 */
export async function runServer(settings: ServerSettings, options: RunServerOptions): Promise<void> {
  const { signal, clock = systemClock } = options
  const log = options.log ?? openLog({ program: 'server', level: settings.logLevel })
  checkSettings(settings)
  // SECURITY: others of our user must not read keys out of this process, nor leave them in a core file (rule 21).
  setDumpable(false)
  if (settings.connectTo.length > 0) log.warn('server.exchanges-redirected', { to: settings.connectTo })

  await using stack = new AsyncDisposableStack()
  const readiness = openReadiness()
  const started = readiness.block('start')
  const metrics = stack.use(openMetrics())
  const { dataDir, trustDomain } = settings
  // The folder above may be shared with the daemon, whose user must be able to pass.
  makeNamedFolder('--data-dir', { path: dataDir, mode: 0o700, above: 0o755 })
  const health = stack.use(await openHealthServer({ listen: settings.healthListen, readiness, metrics, log }))

  const foundation = stack.use(
    await openFoundation({
      settings,
      places: options,
      clock,
      log,
      metrics,
    }),
  )
  const { store, custody, audit, resources, cache } = foundation
  readiness.require('store', openStoreCheck({ store, clock }))
  readiness.require('audit', () =>
    audit.expectWritable().then(
      () => undefined,
      (error: Error) => error.message,
    ),
  )
  const listen = await withPort(settings.listen)
  const url =
    settings.publicUrl ?? `https://${formatAuthority({ ...listen, host: reachableHost(listen.host) })}`
  const identity =
    settings.tlsCert !== undefined && settings.tlsKey !== undefined
      ? await openFileIdentity({ certFile: settings.tlsCert, keyFile: settings.tlsKey, clock, log })
      : await openOwnIdentity({ store, custody, clock, hosts: hostsOf(url, listen) })
  const caFile = join(dataDir, 'server-ca.pem')
  if (identity.ca) await writeFile(caFile, identity.ca.pem, { mode: 0o644 })

  const signing = { store, custody, clock, log }
  const schedule = {
    rotateEverySeconds: settings.keyRotateEverySeconds,
    publishAheadSeconds: settings.keyPublishAheadSeconds,
  }
  const issuerUrl = settings.issuerUrl ?? `${url}/oidc`
  const issuer = await openTokenIssuer({ ...signing, settings: { url: issuerUrl, ...schedule } })
  const accountKeys = await openAccountKeys({
    ...signing,
    schedule: { ...schedule, maxTokenTtlSeconds: tokenLifetime.maxSeconds },
  })
  const ca = await openCertificateAuthority({ store, custody, clock, trustDomain })

  const leadership = stack.use(
    settings.store === 'sqlite'
      ? openSoleLeadership(store)
      : await openElection({ store, expectAble: (how) => audit.expectWritable(how), clock, log }),
  )
  const duties = stack.use(
    await openControl({
      settings,
      foundation,
      leadership,
      issuer,
      ownCa: identity.ca?.pem,
      clock,
      log,
      metrics,
    }),
  )
  const { scopes, reports, reconciler } = duties

  const daemons = {
    store,
    resources,
    ca,
    audit,
    clock,
    log,
    trustDomain,
    svidTtlSeconds: settings.svidTtlSeconds,
  }
  const node = stack.use(
    await openNodeServer({
      ...daemons,
      scopes,
      listen: settings.nodeListen,
      leaseSeconds: settings.offlineLeaseSeconds,
      isElsewhere: (name) => reports.isElsewhere(name),
      ...(settings.nodeEndpoint !== undefined && { nodeEndpoint: settings.nodeEndpoint }),
    }),
  )
  await ensureBuiltInAccess(resources)
  const control = stack.use(
    openAccessControl({ url: () => url, store, accountKeys, resources, cache, audit, clock, log }),
  )
  const api = stack.use(
    await openApi({
      listen,
      tls: identity.tls,
      resources,
      access: control.access,
      audit,
      issuer: {
        keys: () => [...issuer.keys(), ...accountKeys.keys()],
        rotate: () => Promise.all([issuer.rotate(), accountKeys.rotate()]),
      },
      readiness,
      clock,
      log,
      version,
      plugins: [
        ...control.plugins,
        issuerRoutes(issuer),
        enrollmentPlugin({ ...daemons, cache, nodeEndpoint: node.nodeEndpoint }),
        rotateRoute(reconciler, audit),
        backupRoute(store, { audit, clock }),
      ],
    }),
  )

  // Of servers that start together on a new store one makes the token.
  if (settings.adminContext !== 'none' && (settings.resetAdminToken || (await leadership.isFirst()))) {
    const access = {
      name: settings.adminContext,
      server: url,
      ...(identity.ca && { caPem: identity.ca.pem }),
    }
    const replace = settings.resetAdminToken
    const deliver = (token: Secret) => saveAccess({ ...access, token }, options)
    const claimants = {
      self: leadership.id,
      isLive: (server: string) => leadership.members().includes(server),
    }
    const made = await ensureAdminToken(store, { clock, random: randomBytes, replace, deliver, claimants })
    if (made) {
      const verb = replace ? 'replace' : 'create'
      await audit.change({ actor: 'tideway:server', verb, object: 'token/system:admin', outcome: 'ok' })
    }
  }
  started()
  const ready: ServerReady = {
    url,
    issuerUrl: issuer.url,
    nodeEndpoint: node.nodeEndpoint,
    healthUrl: `http://${formatAuthority({ ...settings.healthListen, port: health.port })}`,
    dataDir,
    ...(identity.ca && { caHash: identity.ca.hash, caFile }),
  }
  log.info('server.ready', { version, ...ready })
  options.onReady?.(ready)

  const lifecycle = { cache, audit, clock, log }
  await runTogether(signal, [
    ({ signal }) => observeEventLoop(metrics, { clock, signal }),
    ({ signal }) => returnFreedMemory(clock, { signal }),
    (run) => duties.run(run),
    persist((run) => node.run(run)),
    persist((run) => issuer.follow(run)),
    persist((run) => accountKeys.follow(run)),
    ({ signal }) =>
      leadership.run({
        signal,
        duty: (term) => {
          // Nothing that was judged during this term is written after it.
          const { store } = term
          const { custody, resources } = foundation.over(store)
          return runTogether(term.signal, [
            persist(({ signal }) => duties.lead({ ...term, signal })),
            persist(({ signal }) => issuer.keepSchedule({ signal, store, custody })),
            persist(({ signal }) => accountKeys.keepSchedule({ signal, store, custody })),
            persist((run) => openLifecycle({ ...lifecycle, resources }).run(run)),
            ({ signal }) => control.run({ signal, resources }),
          ])
        },
      }),
    ({ signal }) => identity.run({ signal, onRenewed: (tls) => api.setCertificate(tls) }),
    ({ signal }) => Promise.race([cache.done, untilAborted(signal)]),
  ])

  /** A database that is away comes back: what fails for that is begun again. A closed store ends the cache, and all. */
  function persist(service: Service): Service {
    return async ({ signal }) => {
      while (!signal.aborted) {
        try {
          return await service({ signal })
        } catch (error) {
          if (!isFault(error, 'STORE_UNAVAILABLE')) throw error
          log.warn('server.store-away', { error })
        }
        await clock.sleep(restartAfterMs, { signal }).catch(() => {})
      }
    }
  }
}

async function saveAccess(access: AdminAccess, { saveAdminAccess }: RunServerOptions): Promise<void> {
  try {
    await saveAdminAccess?.(access)
  } catch (error) {
    throw new Fault(
      'SETTING_INVALID',
      `the administrator's token cannot be saved: ${(error as Error).message}`,
      { hint: 'nothing is lost: make that possible and start again', cause: error },
    )
  }
}

/** The names under which the own certificate must be valid. */
function hostsOf(url: string, { host }: Listen): string[] {
  const urlHost = new URL(url).hostname.replace(/^\[(.*)\]$/, '$1')
  return [urlHost, reachableHost(host)]
}

/** A port for "any": chosen before anything listens, because the issuer's URL holds it. */
async function withPort({ host, port }: Listen): Promise<Listen> {
  if (port !== 0) return { host, port }
  const server = createServer().listen(0, host)
  await once(server, 'listening')
  const { port: free } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return { host, port: free }
}
