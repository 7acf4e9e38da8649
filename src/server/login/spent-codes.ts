import type { Clock } from '#base/clock'
import type { Store } from '#server/store'

const prefix = '/access/spent-codes/'

/** The codes that were redeemed, for all servers, until they would have expired anyway. */
export interface SpentCodes {
  /** Whether this is the first time. */
  spend(id: string, expiresAt: number): Promise<boolean>
}

export function openSpentCodes({ store, clock }: { store: Store; clock: Clock }): SpentCodes {
  async function forgetExpired(): Promise<void> {
    const { entries } = await store.list(prefix)
    const expired = entries.filter(({ value }) => Number(Buffer.from(value).toString()) < clock.now())
    if (expired.length === 0) return
    await store.transaction(
      [],
      expired.map(({ key }) => ({ type: 'delete', key }) as const),
    )
  }
  return {
    async spend(id, expiresAt) {
      await forgetExpired()
      const key = prefix + id
      const value = Buffer.from(String(expiresAt))
      return (await store.transaction([{ key, modRevision: 0 }], [{ type: 'put', key, value }])).ok
    },
  }
}
