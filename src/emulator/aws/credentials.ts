import { randomBytes, randomInt } from 'node:crypto'
import type { EpochMs } from '#base/clock'
import { Secret } from '#base/secret'
import type { Principal } from './principal.ts'

/** An access key that the emulator honours. */
export interface AccessKey {
  readonly id: string
  readonly secret: Secret
  /** Present for temporary keys: every request must carry it. */
  readonly sessionToken?: Secret
  readonly expiresAt?: EpochMs
  readonly principal: Principal
}

/** The access keys in force. */
export interface AccessKeys {
  find(id: string): AccessKey | undefined
  /** Issues temporary credentials. At the bound the oldest are forgotten: their requests fail as unknown. */
  issue(principal: Principal, expiresAt: EpochMs): AccessKey & { sessionToken: Secret; expiresAt: EpochMs }
}

const maxTemporaryKeys = 10_000
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

/** An identifier in AWS's form: a prefix that tells the kind, then random base32. */
export function newId(prefix: 'AKIA' | 'ASIA' | 'AROA' | 'ANPA', length = 16): string {
  return prefix + Array.from({ length }, () => alphabet[randomInt(alphabet.length)]).join('')
}

export function newSecretAccessKey(): Secret {
  return Secret.of(randomBytes(30).toString('base64'))
}

export function openAccessKeys(root: AccessKey): AccessKeys {
  const temporary = new Map<string, AccessKey>()
  return {
    find: (id) => (id === root.id ? root : temporary.get(id)),
    issue(principal, expiresAt) {
      const key = {
        id: newId('ASIA'),
        secret: newSecretAccessKey(),
        sessionToken: Secret.of(randomBytes(192).toString('base64')),
        expiresAt,
        principal,
      }
      for (const oldest of temporary.keys()) {
        if (temporary.size < maxTemporaryKeys) break
        temporary.delete(oldest)
      }
      temporary.set(key.id, key)
      return key
    },
  }
}
