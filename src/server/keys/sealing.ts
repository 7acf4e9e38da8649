import { createCipheriv, createDecipheriv, randomBytes, type KeyObject } from 'node:crypto'
import { Fault } from '#base/errors'
import type { Sealer } from '#server/store'

const algorithm = 'aes-256-gcm'
const version = 1
const nonceBytes = 12
const tagBytes = 16

/** A sealed blob: version (1 byte), nonce (12), ciphertext, tag (16); `name` is the associated data. */
export function seal(key: KeyObject, name: string, plaintext: Uint8Array): Buffer {
  const nonce = randomBytes(nonceBytes)
  const cipher = createCipheriv(algorithm, key, nonce, { authTagLength: tagBytes })
  // SECURITY: bound to its name, so that a blob moved under another name does not open.
  cipher.setAAD(Buffer.from(name))
  return Buffer.concat([
    Uint8Array.of(version),
    nonce,
    cipher.update(plaintext),
    cipher.final(),
    cipher.getAuthTag(),
  ])
}

/** Opens a blob made by `seal`. @throws Fault STORE_CORRUPT when key, name or bytes are not those it was made with */
export function unseal(key: KeyObject, name: string, blob: Uint8Array): Buffer {
  if (blob[0] !== version || blob.length < 1 + nonceBytes + tagBytes) {
    throw new Fault('STORE_CORRUPT', `sealed value ${name} has an unknown form`)
  }
  const decipher = createDecipheriv(algorithm, key, blob.subarray(1, 1 + nonceBytes), {
    authTagLength: tagBytes,
  })
  decipher.setAAD(Buffer.from(name))
  decipher.setAuthTag(blob.subarray(blob.length - tagBytes))
  try {
    return Buffer.concat([
      decipher.update(blob.subarray(1 + nonceBytes, blob.length - tagBytes)),
      decipher.final(),
    ])
  } catch (error) {
    throw new Fault('STORE_CORRUPT', `sealed value ${name} does not open`, { cause: error })
  }
}

/** The sealer of the store's objects, under the key that `openCustody` has found to be the right one. */
export function openSealer(sealingKey: KeyObject): Sealer {
  return {
    seal: (name, plaintext) => seal(sealingKey, name, plaintext),
    unseal: (name, sealed) => unseal(sealingKey, name, sealed),
  }
}
