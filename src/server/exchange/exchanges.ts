import { backoffMs, type Clock, type EpochMs } from '#base/clock'
import { isFault } from '#base/errors'
import type { Log } from '#base/log'
import { silentMetrics, type Metrics } from '#base/metrics'
import { refreshAt, type AwsCredential } from '#model/credential'
import type { AuditTrail } from '#server/audit'
import type { Custody } from '#server/keys'
import { stsEndpoint, type Exchange, type ExchangeTarget } from './aws.ts'
import type { ExchangeFailure, FailureKind } from './failure.ts'
import { openGate } from './gate.ts'
import type { CredentialChanges } from './ports.ts'
import {
  decodeCredential,
  encodeCredential,
  rightsOf,
  sealedName,
  sealedPrefix,
} from './sealed-credential.ts'

/** What there is of one target. Neither credential nor failure: the first exchange is under way. */
export interface ExchangeState {
  readonly target: ExchangeTarget
  /** Valid now. */
  readonly credential?: AwsCredential
  /** Why the last exchange failed; absent after one that succeeded. */
  readonly failure?: ExchangeFailure
  /** Required from the start, due, and not tried yet: what came of it before that is not known here. */
  readonly isUntried?: true
}

/** The credentials of all targets that were asked for. */
export interface Exchanges extends AsyncDisposable {
  /**
   * Names all targets whose credentials are needed, by key. A new one is exchanged (or opened from custody), one
   * that is no longer named is forgotten at once, in custody too, and so is one whose rights changed.
   */
  require(targets: ReadonlyMap<string, ExchangeTarget>): void
  state(key: string): ExchangeState | undefined
  /** What could not be reached can be again, an endpoint or (undefined) the issuer: whoever waits for that tries now. */
  retry(origin: string | undefined): void
  /** Exchanges now; resolves with the state afterwards, or undefined for a target that is not required. */
  rotateNow(key: string): Promise<ExchangeState | undefined>
}

const retries: Readonly<Record<FailureKind, { baseMs: number; maxMs: number }>> = {
  throttled: { baseMs: 2_000, maxMs: 120_000 },
  unavailable: { baseMs: 1_000, maxMs: 60_000 },
  denied: { baseMs: 2_000, maxMs: 60_000 },
  malformed: { baseMs: 2_000, maxMs: 120_000 },
}
const maxConcurrent = 8

/** Renews one credential for as long as it is required. */
interface Keeper {
  readonly key: string
  target: ExchangeTarget
  readonly rights: string
  credential?: AwsCredential | undefined
  failure?: ExchangeFailure | undefined
  dueAt: EpochMs
  failures: number
  isTried: boolean
  /** Aborted to wake the keeper before its time. */
  nap: AbortController
  readonly stop: AbortController
  rotations: ((state: ExchangeState) => void)[]
  done: Promise<void>
}

export interface ExchangesOptions {
  exchange: Exchange
  custody: Pick<Custody, 'load' | 'save' | 'remove' | 'names'>
  audit: Pick<AuditTrail, 'change' | 'expectWritable'>
  clock: Clock
  log: Log
  metrics?: Metrics
  /** Yields [0, 1). */
  random: () => number
  /** Told when the state of a target changed. */
  changes: CredentialChanges
  /** Told when an exchange has failed because something could not be reached. */
  onUnreachable?: (target: ExchangeTarget) => void
}

/** Whether a failure may be over once an endpoint, or (undefined) the issuer, can be reached. */
function waitsFor(
  { target, failure }: Pick<Keeper, 'target' | 'failure'>,
  origin: string | undefined,
): boolean {
  if (origin === undefined) return failure?.reason === 'IssuerUnreachable'
  return failure?.kind === 'unavailable' && stsEndpoint(target.aws).origin === origin
}

export async function openExchanges(options: ExchangesOptions): Promise<Exchanges> {
  const { exchange, custody, audit, clock, log, metrics = silentMetrics, random, changes } = options
  const { onUnreachable = () => {} } = options
  const keepers = new Map<string, Keeper>()
  /** The end of what is still under way for a key: its next keeper starts after it. */
  const ending = new Map<string, Promise<void>>()
  const passGate = openGate(maxConcurrent)
  /** Sealed at an earlier run; the first `require` says which of them are still needed. */
  let leftOver: Set<string> | undefined = new Set(await custody.names(sealedPrefix))

  /** Keys of those that have a credential. */
  const valid = new Set<string>()

  function changed(key: string): void {
    if (keepers.get(key)?.credential) valid.add(key)
    else valid.delete(key)
    metrics.gauge('credentials', valid.size)
    changes.credential(key)
  }

  /** At once where the clock was set back since it was issued: it would be kept beyond its real end. */
  const renewalOf = (credential: AwsCredential): EpochMs =>
    credential.issuedAt > clock.now() ? 0 : refreshAt(credential, random)

  const stateOf = ({ target, credential, failure, isTried, dueAt }: Keeper): ExchangeState => ({
    target,
    ...(credential && { credential }),
    ...(failure && { failure }),
    ...(!isTried && dueAt <= clock.now() && { isUntried: true }),
  })

  function forget(name: string): Promise<void> {
    return custody
      .remove(name)
      .catch((error: unknown) => log.error('exchange.forget-failed', { name, error }))
  }

  async function restore(keeper: Keeper): Promise<void> {
    const name = sealedName(keeper.target)
    try {
      const sealed = await custody.load(name)
      const credential = sealed && decodeCredential(sealed, keeper.rights)
      if (!credential || credential.expiresAt <= clock.now()) return
      keeper.credential = credential
      keeper.dueAt = renewalOf(credential)
    } catch (error) {
      // One that does not open is no loss: the next exchange replaces it.
      log.warn('exchange.sealed-credential-lost', { name, error })
    }
    changed(keeper.key)
  }

  async function record(keeper: Keeper, outcome: 'ok' | 'failed', message: string): Promise<void> {
    const object = `CredentialSource/${keeper.target.sourceName}`
    await audit.change({ actor: 'tideway:exchange', verb: 'exchange', object, outcome, message })
  }

  /** One exchange, to the point where its credential is recorded and sealed. */
  async function attempt(keeper: Keeper): ReturnType<Exchange> {
    const { target, stop } = keeper
    // None that could not be recorded is asked for.
    await audit.expectWritable()
    const started = clock.monotonic()
    const result = await exchange(target, { signal: stop.signal })
    const source = target.sourceName
    metrics.observe('exchange_duration_seconds', { source }, (clock.monotonic() - started) / 1000)
    metrics.count('exchange_attempts', {
      source,
      outcome: result.ok ? 'ok' : result.failure.reason,
    })
    if (!result.ok) {
      await record(keeper, 'failed', `${target.spiffeId}: ${result.failure.reason}`)
      return result
    }
    const { accessKeyId, expiresAt } = result.credential
    const until = new Date(expiresAt).toISOString()
    // SECURITY: no credential is in use that the trail does not know.
    await record(keeper, 'ok', `${target.spiffeId}: ${accessKeyId} until ${until}`)
    stop.signal.throwIfAborted()
    await custody.save(sealedName(target), encodeCredential(result.credential, keeper.rights))
    return result
  }

  async function renew(keeper: Keeper): Promise<void> {
    const { target, stop } = keeper
    const result = await passGate(() => attempt(keeper)).catch((error: unknown) => {
      stop.signal.throwIfAborted()
      log.error('exchange.broken', { source: target.sourceName, spiffeId: target.spiffeId, error })
      const message = isFault(error)
        ? `${error.message}; it is tried again by itself`
        : 'the exchange failed by a defect: see the log of the server'
      const failure: ExchangeFailure = {
        kind: 'unavailable',
        reason: isFault(error) ? 'ServerUnavailable' : 'InternalError',
        message,
        needsOperator: false,
      }
      return { ok: false as const, failure }
    })
    stop.signal.throwIfAborted()
    keeper.isTried = true
    if (result.ok) {
      keeper.credential = result.credential
      keeper.failure = undefined
      keeper.failures = 0
      keeper.dueAt = refreshAt(result.credential, random)
    } else {
      const { kind, reason, message } = result.failure
      if (keeper.failure?.reason !== reason) {
        log.warn('exchange.failed', { source: target.sourceName, spiffeId: target.spiffeId, reason, message })
        keeper.failures = 0
      }
      keeper.failure = result.failure
      if (kind === 'unavailable' || waitsFor(keeper, undefined)) onUnreachable(target)
      keeper.dueAt = clock.now() + backoffMs(keeper.failures++, { ...retries[kind], random })
    }
    dropExpired(keeper)
    changed(keeper.key)
    for (const settle of keeper.rotations.splice(0)) settle(stateOf(keeper))
  }

  function dropExpired(keeper: Keeper): boolean {
    if (!keeper.credential || clock.now() < keeper.credential.expiresAt) return false
    keeper.credential = undefined
    return true
  }

  async function keep(keeper: Keeper): Promise<void> {
    const { signal } = keeper.stop
    await restore(keeper)
    while (!signal.aborted) {
      const now = clock.now()
      if (dropExpired(keeper)) changed(keeper.key)
      if (now >= keeper.dueAt || keeper.rotations.length > 0) {
        await renew(keeper)
        continue
      }
      const wakeAt = Math.min(keeper.dueAt, keeper.credential?.expiresAt ?? Infinity)
      keeper.nap = new AbortController()
      await clock.until(wakeAt, { signal: keeper.nap.signal, unref: true }).catch(() => {})
    }
  }

  function start(key: string, target: ExchangeTarget): void {
    const keeper: Keeper = {
      key,
      target,
      rights: rightsOf(target),
      dueAt: 0,
      failures: 0,
      isTried: leftOver === undefined,
      nap: new AbortController(),
      stop: new AbortController(),
      rotations: [],
      done: Promise.resolve(),
    }
    keepers.set(key, keeper)
    keeper.done = (ending.get(key) ?? Promise.resolve())
      .then(() => keep(keeper))
      .catch((error: unknown) => {
        if (keeper.stop.signal.aborted) return
        log.error('exchange.stopped', { key, error })
      })
  }

  function halt(keeper: Keeper): Promise<void> {
    keeper.stop.abort()
    keeper.nap.abort()
    for (const settle of keeper.rotations.splice(0)) settle(stateOf(keeper))
    return keeper.done
  }

  /** Stops at once and forgets; what is under way for the key comes to nothing. */
  function end(key: string, keeper: Keeper): void {
    keepers.delete(key)
    const ended = halt(keeper)
      .then(() => forget(sealedName(keeper.target)))
      .finally(() => {
        if (ending.get(key) === ended) ending.delete(key)
      })
    ending.set(key, ended)
  }

  const stopListening = clock.onJump((byMs) => {
    if (byMs > 0) return
    for (const keeper of keepers.values()) {
      // A pause after a failure lasts no longer than it was to.
      if (keeper.failure) keeper.dueAt += byMs
      else if (keeper.credential) keeper.dueAt = Math.min(keeper.dueAt, renewalOf(keeper.credential))
    }
  })

  return {
    require(targets) {
      for (const [key, keeper] of keepers) {
        const target = targets.get(key)
        if (target && (target === keeper.target || rightsOf(target) === keeper.rights)) {
          keeper.target = target
          continue
        }
        end(key, keeper)
        changed(key)
      }
      for (const [key, target] of targets) {
        leftOver?.delete(sealedName(target))
        if (keepers.has(key)) continue
        start(key, target)
        changed(key)
      }
      for (const name of leftOver ?? []) void forget(name)
      leftOver = undefined
    },
    state(key) {
      const keeper = keepers.get(key)
      return keeper && stateOf(keeper)
    },
    retry(origin) {
      for (const keeper of keepers.values()) {
        if (!waitsFor(keeper, origin)) continue
        keeper.dueAt = 0
        keeper.nap.abort()
      }
    },
    rotateNow(key) {
      const keeper = keepers.get(key)
      if (!keeper) return Promise.resolve(undefined)
      return new Promise((resolve) => {
        keeper.rotations.push(resolve)
        keeper.nap.abort()
      })
    },
    async [Symbol.asyncDispose]() {
      stopListening()
      await Promise.all([...[...keepers.values()].map(halt), ...ending.values()])
      keepers.clear()
    },
  }
}
