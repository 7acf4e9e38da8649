import type { EpochMs } from '#base/clock'
import type { Store } from '#server/store'

/** Removes what has expired under `prefix`. */
export async function forgetExpired(
  store: Store,
  prefix: string,
  { at, expiryOf }: { at: EpochMs; expiryOf: (text: string) => EpochMs },
): Promise<void> {
  const { entries } = await store.list(prefix)
  const expired = entries.filter(({ value }) => expiryOf(Buffer.from(value).toString()) < at)
  if (expired.length === 0) return
  await store.transaction(
    [],
    expired.map(({ key }) => ({ type: 'delete', key }) as const),
  )
}
