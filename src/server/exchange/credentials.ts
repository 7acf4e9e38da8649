import { backoffMs, type Clock, type EpochMs } from '#base/clock'
import type { Bell } from '#base/lifecycle'
import type { Log } from '#base/log'
import type { Secret } from '#base/secret'
import type { AwsCredential } from '#model/credential'
import type { Custody } from '#server/keys'
import type { ExchangeTarget } from './aws.ts'
import { decodeCredential, rightsOf, sealedName, sealedPrefix } from './sealed-credential.ts'

const retry = { baseMs: 200, maxMs: 5_000, random: Math.random }

/** The credentials that are sealed in the store, whoever exchanged them: what is given out to daemons. */
export interface Credentials extends AsyncDisposable {
  /** The credential of a target that is valid at `at`: the same object for as long as it is the same. */
  of(target: ExchangeTarget, at: EpochMs): AwsCredential | undefined
  /** When the next of those that `of` gave since the last call expires; Infinity without any. */
  nextExpiry(): EpochMs
}

/** Opens them once they are all here; rings `changes` at each change. @throws Fault STORE_UNAVAILABLE */
export async function openCredentials({
  custody,
  changes,
  clock,
  log,
}: {
  custody: Pick<Custody, 'follow'>
  changes: Bell
  clock: Clock
  log: Log
}): Promise<Credentials> {
  const sealed = new Map<
    string,
    { secret: Secret; opened?: { rights: string; credential?: AwsCredential } }
  >()
  const stop = new AbortController()
  const first = Promise.withResolvers<void>()
  let expiry = Infinity

  async function follow(): Promise<void> {
    for await (const { all, changed } of custody.follow(sealedPrefix, { signal: stop.signal })) {
      if (all) for (const name of sealed.keys()) if (!changed.has(name)) sealed.delete(name)
      for (const [name, secret] of changed) {
        if (secret === undefined) sealed.delete(name)
        // Listed again after a gap: it stays the same object where nothing changed.
        else if (!sealed.get(name)?.secret.equals(secret)) sealed.set(name, { secret })
      }
      first.resolve()
      changes.ring()
    }
  }

  async function persist(): Promise<void> {
    for (let attempt = 0; !stop.signal.aborted; attempt++) {
      try {
        await follow()
      } catch (error) {
        first.reject(error)
        log.warn('exchange.credentials-not-followed', { error })
      }
      await clock.sleep(backoffMs(attempt, retry), { signal: stop.signal, unref: true }).catch(() => {})
    }
  }

  const following = persist()
  const opened: Credentials = {
    of(target, at) {
      const entry = sealed.get(sealedName(target))
      if (!entry) return undefined
      const rights = rightsOf(target)
      if (entry.opened?.rights !== rights) {
        const credential = decodeCredential(entry.secret, rights)
        entry.opened = { rights, ...(credential && { credential }) }
      }
      const { credential } = entry.opened
      if (!credential || credential.expiresAt <= at) return undefined
      expiry = Math.min(expiry, credential.expiresAt)
      return credential
    },
    nextExpiry() {
      const next = expiry
      expiry = Infinity
      return next
    },
    async [Symbol.asyncDispose]() {
      stop.abort()
      await following
    },
  }
  try {
    await first.promise
  } catch (error) {
    await opened[Symbol.asyncDispose]()
    throw error
  }
  return opened
}
