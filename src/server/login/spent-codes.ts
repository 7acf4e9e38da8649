import type { Clock } from '#base/clock'
import type { Store } from '#server/store'
import { forgetExpired } from './expiry.ts'

const prefix = '/access/spent-codes/'

/** The codes that were redeemed, for all servers, until they would have expired anyway. */
export interface SpentCodes {
  /** Whether this is the first time. */
  spend(id: string, expiresAt: number): Promise<boolean>
}

export function openSpentCodes({ store, clock }: { store: Store; clock: Clock }): SpentCodes {
  return {
    async spend(id, expiresAt) {
      await forgetExpired(store, prefix, { at: clock.now(), expiryOf: Number })
      const key = prefix + id
      const value = Buffer.from(String(expiresAt))
      return (await store.transaction([{ key, modRevision: 0 }], [{ type: 'put', key, value }])).ok
    },
  }
}
