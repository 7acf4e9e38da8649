import { backoffMs, type Clock, type EpochMs } from '#base/clock'
import type { Log } from '#base/log'
import type { Secret } from '#base/secret'
import type { AwsCredential } from '#model/credential'
import type { Custody } from '#server/keys'
import type { ExchangeTarget } from './aws.ts'
import type { CredentialChanges } from './ports.ts'
import { decodeCredential, keyOfSealed, rightsOf, sealedPrefix } from './sealed-credential.ts'

const retry = { baseMs: 200, maxMs: 5_000, random: Math.random }

/** The credentials that are sealed in the store, whoever exchanged them: what is given out to daemons. */
export interface Credentials extends AsyncDisposable {
  /** The credential of a target, by its key, that is valid at `at`: the same object for as long as it is the same. */
  of(key: string, target: ExchangeTarget, at: EpochMs): AwsCredential | undefined
}

/** Opens them once they are all here; tells `changes` of each by its key. @throws Fault STORE_UNAVAILABLE */
export async function openCredentials({
  custody,
  changes,
  clock,
  log,
}: {
  custody: Pick<Custody, 'follow'>
  changes: CredentialChanges
  clock: Clock
  log: Log
}): Promise<Credentials> {
  /** By key. A state may ask for thousands of them: making the name of each would cost more than the rest. */
  const sealed = new Map<
    string,
    { secret: Secret; opened?: { target: ExchangeTarget; rights: string; credential?: AwsCredential } }
  >()
  const stop = new AbortController()
  const first = Promise.withResolvers<void>()

  async function follow(): Promise<void> {
    for await (const { all, changed } of custody.follow(sealedPrefix, { signal: stop.signal })) {
      const secrets = new Map([...changed].map(([name, secret]) => [keyOfSealed(name), secret]))
      if (all) for (const key of sealed.keys()) if (!secrets.has(key)) secrets.set(key, undefined)
      for (const [key, secret] of secrets) {
        // Listed again after a gap: it stays the same object where nothing changed.
        if (secret !== undefined && sealed.get(key)?.secret.equals(secret)) continue
        if (secret === undefined) sealed.delete(key)
        else sealed.set(key, { secret })
        changes.credential(key)
      }
      first.resolve()
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
    of(key, target, at) {
      const entry = sealed.get(key)
      if (!entry) return undefined
      const rights = entry.opened?.target === target ? entry.opened.rights : rightsOf(target)
      if (entry.opened?.rights !== rights) {
        const credential = decodeCredential(entry.secret, rights)
        entry.opened = { target, rights, ...(credential && { credential }) }
      }
      entry.opened.target = target
      const { credential } = entry.opened
      return credential && credential.expiresAt > at ? credential : undefined
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
