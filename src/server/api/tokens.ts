import { createHash } from 'node:crypto'
import type { Clock, EpochMs } from '#base/clock'
import { Fault } from '#base/errors'
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

const administrator = 'system:admin'

/**
 * Makes the administrator's token, once in the life of a store; with `replace` a new one, and the earlier ones stop
 * working. Only its hash is kept, so it goes to `deliver` before it is valid: when that throws, nothing has changed
 * and the next call tries again.
 * @returns whether there is a new token
 */
export async function ensureAdminToken(
  store: Store,
  {
    clock,
    random,
    deliver,
    replace = false,
  }: {
    clock: Clock
    random: (bytes: number) => Uint8Array
    deliver: (token: Secret) => void | Promise<void>
    replace?: boolean
  },
): Promise<boolean> {
  const bootstrap = await store.get(bootstrapKey)
  if (bootstrap && !replace) return false
  const { entries } = await store.list(prefix)
  const earlier = entries.filter(
    ({ value }) => (JSON.parse(Buffer.from(value).toString()) as TokenRecord).name === administrator,
  )
  const token = Secret.of(`tdw_${Buffer.from(random(32)).toString('base64url')}`)
  const record: TokenRecord = { name: administrator, createdAt: clock.now() }
  await deliver(token)
  const { ok } = await store.transaction(
    [{ key: bootstrapKey, modRevision: bootstrap?.modRevision ?? 0 }],
    [
      { type: 'put', key: bootstrapKey, value: Buffer.from('{}') },
      { type: 'put', key: tokenKey(token), value: Buffer.from(JSON.stringify(record)) },
      ...earlier.map(({ key }) => ({ type: 'delete', key }) as const),
    ],
  )
  if (!ok)
    throw new Fault('RESOURCE_CONFLICT', "the administrator's token was made by another server meanwhile")
  return true
}
