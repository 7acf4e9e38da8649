import { createPrivateKey, type KeyObject } from 'node:crypto'
import { Fault } from '#base/errors'
import { Secret } from '#base/secret'
import { followEntries, type Store, type StoreEntry } from '#server/store'
import type { Custody } from './ports.ts'
import { seal, unseal } from './sealing.ts'

const prefix = '/custody/'
/** Outside the prefix: no name can reach it. */
const checkKey = '/custody-check'
const checkText = 'tideway'

/** Whether this store was ever sealed: then the key that did it is needed, and no other will do. */
export async function hasSealedData(store: Store): Promise<boolean> {
  return (await store.get(checkKey)) !== undefined
}

/** The first opening of a store seals a known text; every later one must be able to open it. */
async function verifySealingKey(store: Store, sealingKey: KeyObject): Promise<void> {
  const value = seal(sealingKey, checkKey, Buffer.from(checkText))
  await store.transaction([{ key: checkKey, modRevision: 0 }], [{ type: 'put', key: checkKey, value }])
  const entry = await store.get(checkKey)
  try {
    unseal(sealingKey, checkKey, entry?.value ?? new Uint8Array())
  } catch (error) {
    throw new Fault('SEALING_KEY_WRONG', 'the sealing key is not the one that this store was sealed with', {
      hint: 'start with the sealing key that belongs to this store; nothing has been changed',
      cause: error,
    })
  }
}

/**
 * Opens custody over `store`. Every value is sealed with AES-256-GCM under `sealingKey`.
 * @throws Fault SEALING_KEY_WRONG when the store was sealed with another key
 */
export async function openCustody(store: Store, sealingKey: KeyObject): Promise<Custody> {
  await verifySealingKey(store, sealingKey)
  return custodyOver(store, sealingKey)
}

/** The same over another view of a store whose key has been found to be the right one. */
export function custodyOver(store: Store, sealingKey: KeyObject): Custody {
  const put = (name: string, secret: Secret) =>
    ({ type: 'put', key: prefix + name, value: seal(sealingKey, name, secret.reveal()) }) as const

  function opened({ key, value }: Pick<StoreEntry, 'key' | 'value'>): [string, Secret | undefined] {
    const name = key.slice(prefix.length)
    try {
      return [name, Secret.of(unseal(sealingKey, name, value))]
    } catch {
      return [name, undefined]
    }
  }

  const removal = (name: string) => ({ type: 'delete', key: prefix + name }) as const

  const custody: Custody = {
    async load(name) {
      const entry = await store.get(prefix + name)
      return entry && Secret.of(unseal(sealingKey, name, entry.value))
    },
    async save(name, secret) {
      await store.transaction([], [put(name, secret)])
    },
    async saveNew(name, secret) {
      for (;;) {
        const result = await store.transaction([{ key: prefix + name, modRevision: 0 }], [put(name, secret)])
        if (result.ok) return secret
        const existing = await custody.load(name)
        if (existing) return existing
      }
    },
    async remove(name) {
      await store.transaction([], [removal(name)])
    },
    removal,
    async names(under) {
      const { entries } = await store.list(prefix + under)
      return entries.map(({ key }) => key.slice(prefix.length))
    },
    async *follow(under, { signal }) {
      for await (const { all, events } of followEntries(store, prefix + under, { signal })) {
        const changes = events.map((event): [string, Secret | undefined] =>
          event.type === 'put' ? opened(event.entry) : [event.key.slice(prefix.length), undefined],
        )
        yield { all, changed: new Map(changes) }
      }
    },
    async privateKey(name, create) {
      const existing = await custody.load(name)
      const sealed = existing ?? (await custody.saveNew(name, privateKeySecret(create())))
      return parsePrivateKey(name, sealed)
    },
  }
  return custody
}

function privateKeySecret(key: KeyObject): Secret {
  return Secret.of(key.export({ type: 'pkcs8', format: 'der' }))
}

function parsePrivateKey(name: string, secret: Secret): KeyObject {
  try {
    return createPrivateKey({ key: secret.reveal(), format: 'der', type: 'pkcs8' })
  } catch (error) {
    throw new Fault('STORE_CORRUPT', `sealed value ${name} is not a private key`, { cause: error })
  }
}
