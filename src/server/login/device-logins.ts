import { createHash, randomInt } from 'node:crypto'
import type { Clock, EpochMs } from '#base/clock'
import type { Store } from '#server/store'
import { forgetExpired } from './expiry.ts'
import type { Identity } from './github.ts'

const prefix = '/access/device-logins/'

// No vowels, so that no words come out (RFC 8628 section 6.1).
const letters = 'BCDFGHJKLMNPQRSTVWXZ'
/**
 * SECURITY: nothing is kept of a login that somebody begins, so that strangers cannot fill the store; two may then get
 * the same code. Of 20^12 no one gets that of somebody else by beginning as many as a server can answer.
 */
const codeLength = 12
const isCode = new RegExp(`^[${letters}]{${codeLength}}$`)

/** Somebody who has logged in for a program on another device. */
interface Approval {
  readonly version: string
  readonly identity: Identity
  readonly expiresAt: EpochMs
}

/** What people approved on one device for a program on another, for all servers, until the program asks. */
export interface DeviceLogins {
  /** Whether the code was free. */
  approve(code: string, approval: Approval): Promise<boolean>
  /** What was approved for a code, once. */
  take(code: string): Promise<Approval | undefined>
}

/** A code for a person to enter, as groups of letters. */
export function newUserCode(): string {
  const code = Array.from({ length: codeLength }, () => letters[randomInt(letters.length)]).join('')
  return code.replaceAll(/.{4}(?=.)/g, '$&-')
}

/** A code as a person entered it, in the one spelling; undefined when it cannot be one. */
export function readUserCode(text: string): string | undefined {
  const code = text.toUpperCase().replaceAll(/[^A-Z]/g, '')
  return isCode.test(code) ? code.replaceAll(/.{4}(?=.)/g, '$&-') : undefined
}

/** What a code is known by where others may read. */
export const hashUserCode = (code: string) => createHash('sha256').update(code).digest('base64url')

/** Codes are given as their hashes. */
export function openDeviceLogins({ store, clock }: { store: Store; clock: Clock }): DeviceLogins {
  const read = (value: Uint8Array | string) => JSON.parse(Buffer.from(value as string).toString()) as Approval
  return {
    async approve(code, approval) {
      const expiryOf = (text: string) => read(text).expiresAt
      await forgetExpired(store, prefix, { at: clock.now(), expiryOf })
      const key = prefix + code
      const value = Buffer.from(JSON.stringify(approval))
      return (await store.transaction([{ key, modRevision: 0 }], [{ type: 'put', key, value }])).ok
    },
    async take(code) {
      const key = prefix + code
      const entry = await store.get(key)
      if (!entry) return undefined
      const { ok } = await store.transaction(
        [{ key, modRevision: entry.modRevision }],
        [{ type: 'delete', key }],
      )
      const approval = read(entry.value)
      return ok && approval.expiresAt > clock.now() ? approval : undefined
    },
  }
}
