import { createHash } from 'node:crypto'
import type { Clock, EpochMs } from '#base/clock'
import { Secret } from '#base/secret'
import type { Store } from '#server/store'

/** Who makes a request. */
export interface Principal {
  /** Such as `system:admin`. */
  readonly name: string
}

/** Tells who a request is from. */
export interface Authenticator {
  /** `undefined` for anyone we do not know. */
  authenticate(authorization: string | undefined): Promise<Principal | undefined>
}

interface TokenRecord {
  readonly name: string
  readonly createdAt: EpochMs
}

const prefix = '/auth/tokens/'
const bootstrapKey = '/auth/bootstrap'
const maxTokenBytes = 512

/** SECURITY: only the hash is stored, and it is what is looked up, so that no time tells how much of a guess fits. */
function tokenKey(token: Secret): string {
  return prefix + createHash('sha256').update(token.reveal()).digest('hex')
}

/** Knows the bearer tokens (RFC 6750) in the store. */
export function openTokenAuthenticator(store: Store): Authenticator {
  return {
    async authenticate(authorization) {
      const match = /^bearer +([\w.~+/=-]+) *$/i.exec(authorization ?? '')
      if (!match || match[1]!.length > maxTokenBytes) return undefined
      const entry = await store.get(tokenKey(Secret.of(match[1]!)))
      if (!entry) return undefined
      const { name } = JSON.parse(Buffer.from(entry.value).toString()) as TokenRecord
      return { name }
    },
  }
}

/**
 * Makes the administrator's first token, once in the life of a store. It cannot be shown again: only its hash is
 * kept.
 */
export async function ensureBootstrapToken(
  store: Store,
  { clock, random }: { clock: Clock; random: (bytes: number) => Uint8Array },
): Promise<{ created: true; token: Secret } | { created: false }> {
  const token = Secret.of(`tdw_${Buffer.from(random(32)).toString('base64url')}`)
  const record: TokenRecord = { name: 'system:admin', createdAt: clock.now() }
  const result = await store.transaction(
    [{ key: bootstrapKey, modRevision: 0 }],
    [
      { type: 'put', key: bootstrapKey, value: Buffer.from('{}') },
      { type: 'put', key: tokenKey(token), value: Buffer.from(JSON.stringify(record)) },
    ],
  )
  return result.ok ? { created: true, token } : { created: false }
}
