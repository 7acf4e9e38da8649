import type { Clock } from '#base/clock'
import { toFault } from '#base/errors'
import { runtimePrefix, type Store } from '#server/store'

/** What nobody else writes, and everybody may: what it says is that it could be written. */
const key = `${runtimePrefix}ready`
const patienceMs = 2_000
/** Whoever asks more often gets the answer that was given before. */
const goodForMs = 5_000

/**
 * Says what is wrong with the store, if anything: by a write, for on a full disk reads go on, and within two seconds,
 * for a store that is away may not answer at all.
 */
export function openStoreCheck({
  store,
  clock,
}: {
  store: Pick<Store, 'transaction'>
  clock: Clock
}): () => Promise<string | undefined> {
  let last: { readonly startedAt: number; readonly outcome: Promise<string | undefined> } | undefined
  let isUnderWay = false

  async function attempt(): Promise<string | undefined> {
    try {
      await store.transaction([], [{ type: 'put', key, value: Buffer.alloc(0) }])
      return undefined
    } catch (error) {
      const { message, hint } = toFault(error, 'STORE_UNAVAILABLE')
      return hint === undefined ? message : `${message}: ${hint}`
    } finally {
      isUnderWay = false
    }
  }

  return async () => {
    const now = clock.monotonic()
    if (!last || (!isUnderWay && now - last.startedAt >= goodForMs)) {
      isUnderWay = true
      last = { startedAt: now, outcome: attempt() }
    }
    const silence = Promise.withResolvers<string>()
    const tooLate = `it has not answered a write for ${patienceMs / 1000} s`
    const patience = Math.max(0, last.startedAt + patienceMs - now)
    const stop = clock.after(patience, () => silence.resolve(tooLate), { unref: true })
    try {
      return await Promise.race([last.outcome, silence.promise])
    } finally {
      stop()
    }
  }
}
