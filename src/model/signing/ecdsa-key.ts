import { Buffer } from 'node:buffer'
import { createHmac, createPrivateKey, createSecretKey, type KeyObject } from 'node:crypto'
import type { AwsCredential } from '#model/credential'

/** The order of P-256 less two: a candidate above it is no key. */
const orderLessTwo = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc63254f', 'hex')
/** RFC 5208: a private key of P-256, whose 32 bytes follow; OpenSSL computes the public one. */
const pkcs8Prefix = Buffer.from(
  '3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420',
  'hex',
)
const maxCounter = 254

/** Keys live as long as their credential object, so that a rotation or revocation takes them along. */
const keys = new WeakMap<AwsCredential, KeyObject>()

/**
 * The key pair of a credential for SigV4A, derived once: it depends on neither day nor region nor service (AWS,
 * "Signature Version 4A"; NIST SP 800-108 section 5.1 in counter mode, until the output is a valid key).
 */
export function ecdsaKey(credential: AwsCredential): KeyObject {
  let key = keys.get(credential)
  if (!key) keys.set(credential, (key = deriveKey(credential)))
  return key
}

function deriveKey({ accessKeyId, secretAccessKey }: AwsCredential): KeyObject {
  const secret = Buffer.concat([Buffer.from('AWS4A'), secretAccessKey.reveal()])
  const kdfKey = createSecretKey(secret)
  secret.fill(0)
  for (let counter = 1; counter <= maxCounter; counter += 1) {
    const candidate = createHmac('sha256', kdfKey).update(fixedInput(accessKeyId, counter)).digest()
    if (candidate.compare(orderLessTwo) > 0) continue
    addOne(candidate)
    const der = Buffer.concat([pkcs8Prefix, candidate])
    const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    candidate.fill(0)
    der.fill(0)
    return key
  }
  // Each candidate fails with a chance of 2^-32.
  throw new RangeError('no counter yields a key')
}

/** Number of the block, label, separator, context with the counter, and the length of the output in bits. */
function fixedInput(accessKeyId: string, counter: number): Buffer {
  return Buffer.from(
    `\0\0\0\x01AWS4-ECDSA-P256-SHA256\0${accessKeyId}${String.fromCharCode(counter)}\0\0\x01\0`,
    'latin1',
  )
}

function addOne(number: Buffer): void {
  for (let at = number.length - 1; at >= 0; at -= 1) {
    number[at] = (number[at]! + 1) & 0xff
    if (number[at] !== 0) return
  }
}
