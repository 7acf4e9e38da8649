import { createHash } from 'node:crypto'
import type { Clock, EpochMs } from '#base/clock'
import { Fault } from '#base/errors'
import { Secret } from '#base/secret'
import { authenticatedGroup, mastersGroup } from '#model/access'
import type { Store } from '#server/store'
import type { Authenticator } from './ports.ts'

interface TokenRecord {
  readonly name: string
  readonly createdAt: EpochMs
}

/** That the token has been made, or who makes it. */
interface Bootstrap {
  readonly claimedBy?: string
}

const prefix = '/auth/tokens/'
const bootstrapKey = '/auth/bootstrap'
const mark = 'tdw_'
const administrator = 'system:admin'

/** SECURITY: only the hash is stored, and it is what is looked up, so that no time tells how much of a guess fits. */
function tokenKey(token: Secret): string {
  return prefix + createHash('sha256').update(token.reveal()).digest('hex')
}

/** Knows the administrator's token, which is in the store. */
export function adminTokens(store: Store): Authenticator {
  return {
    async authenticate(token) {
      if (!token.startsWith(mark)) return undefined
      const entry = await store.get(tokenKey(Secret.of(token)))
      if (!entry) throw new Fault('TOKEN_INVALID', 'no such token')
      const { name } = JSON.parse(Buffer.from(entry.value).toString()) as TokenRecord
      return { name, groups: [mastersGroup, authenticatedGroup], provider: 'bootstrap' }
    },
  }
}

/** Servers that start together: who they are, and whether another one of them runs. */
export interface Claimants {
  readonly self: string
  isLive(server: string): boolean
}

const noOthers: Claimants = { self: '', isLive: () => false }

/**
 * Makes the administrator's token, once in the life of a store; with `replace` a new one, and the earlier ones stop
 * working. Only its hash is kept, so it goes to `deliver` before it is valid: when that throws, it is made at the next
 * start. Of servers that start together one claims to make it before it delivers anything: nobody is left with a token
 * that never counted.
 * @returns whether there is a new token
 */
export async function ensureAdminToken(
  store: Store,
  {
    clock,
    random,
    deliver,
    replace = false,
    claimants = noOthers,
  }: {
    clock: Clock
    random: (bytes: number) => Uint8Array
    deliver: (token: Secret) => void | Promise<void>
    replace?: boolean
    claimants?: Claimants
  },
): Promise<boolean> {
  const bootstrap = await store.get(bootstrapKey)
  if (bootstrap && !replace) {
    const { claimedBy } = JSON.parse(Buffer.from(bootstrap.value).toString()) as Bootstrap
    if (claimedBy === undefined || claimants.isLive(claimedBy)) return false
  }
  const claim: Bootstrap = { claimedBy: claimants.self }
  const claimed = await store.transaction(
    [{ key: bootstrapKey, modRevision: bootstrap?.modRevision ?? 0 }],
    [{ type: 'put', key: bootstrapKey, value: Buffer.from(JSON.stringify(claim)) }],
  )
  if (!claimed.ok) return false
  const { entries } = await store.list(prefix)
  const earlier = entries.filter(
    ({ value }) => (JSON.parse(Buffer.from(value).toString()) as TokenRecord).name === administrator,
  )
  const token = Secret.of(`${mark}${Buffer.from(random(32)).toString('base64url')}`)
  const record: TokenRecord = { name: administrator, createdAt: clock.now() }
  await deliver(token)
  const { ok } = await store.transaction(
    [{ key: bootstrapKey, modRevision: claimed.revision }],
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
