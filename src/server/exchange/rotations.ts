import { randomUUID } from 'node:crypto'
import type { Clock } from '#base/clock'
import { Fault } from '#base/errors'
import { credentialId } from '#model/credential'
import { followEntries, runtimePrefix, type Store, type StoreEntry } from '#server/store'
import type { Exchanges } from './exchanges.ts'

const prefix = `${runtimePrefix}rotations/`
/** Longer than an exchange takes, and another server's taking over. */
const patienceMs = 45_000

/** What came of an exchange that somebody asked for: the credential that is there now, and why there is no newer one. */
export interface Rotation {
  readonly credential?: { readonly id: string; readonly expiresAt: number }
  readonly failure?: { readonly reason: string; readonly message: string }
}

interface Mail {
  readonly key: string
  /** Null: nothing is exchanged for this key. */
  readonly answer?: Rotation | null
}

const read = ({ value }: StoreEntry) => JSON.parse(Buffer.from(value).toString()) as Mail
const write = (key: string, mail: Mail) =>
  ({ type: 'put', key, value: Buffer.from(JSON.stringify(mail)) }) as const

/**
 * Asks whoever leads to exchange the credential of `key` now, and waits. Undefined where nothing is exchanged for it.
 * @throws Fault STORE_UNAVAILABLE, CREDENTIAL_UNAVAILABLE when nobody answers within 45 s
 */
export async function requestRotation(
  store: Store,
  clock: Clock,
  key: string,
): Promise<Rotation | undefined> {
  const place = prefix + randomUUID()
  const asked = await store.transaction([], [write(place, { key })])
  if (!asked.ok) throw new TypeError('a write without conditions met one')
  const stop = new AbortController()
  clock.sleep(patienceMs, { signal: stop.signal, unref: true }).then(
    () => stop.abort(),
    () => {},
  )
  try {
    for await (const events of store.watch(place, { afterRevision: asked.revision, signal: stop.signal })) {
      for (const event of events) {
        const answer = event.type === 'put' ? read(event.entry).answer : undefined
        if (answer !== undefined) return answer ?? undefined
      }
    }
  } finally {
    stop.abort()
    await store.transaction([], [{ type: 'delete', key: place }])
  }
  throw new Fault('CREDENTIAL_UNAVAILABLE', 'no server leads at the moment: try again')
}

/** Answers what is asked, while this server leads. */
export async function serveRotations(
  store: Store,
  exchanges: Pick<Exchanges, 'rotateNow'>,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  async function answer(entry: StoreEntry): Promise<void> {
    const { key, answer } = read(entry)
    if (answer !== undefined) return
    const state = await exchanges.rotateNow(key)
    const { credential, failure } = state ?? {}
    const rotation: Rotation = {
      ...(credential && { credential: { id: credentialId(credential), expiresAt: credential.expiresAt } }),
      ...(failure && { failure: { reason: failure.reason, message: failure.message } }),
    }
    // Whoever asked may have gone meanwhile: then there is nothing to answer.
    await store.transaction(
      [{ key: entry.key, modRevision: entry.modRevision }],
      [write(entry.key, { key, answer: state ? rotation : null })],
    )
  }
  const underWay = new Set<Promise<void>>()
  const begin = (entry: StoreEntry) => {
    const done = answer(entry)
      .catch(() => {})
      .finally(() => underWay.delete(done))
    underWay.add(done)
  }
  for await (const { events } of followEntries(store, prefix, { signal })) {
    for (const event of events) if (event.type === 'put') begin(event.entry)
  }
  await Promise.all(underWay)
}
