import { createECDH, createHmac, createPublicKey, type KeyObject } from 'node:crypto'
import type { Secret } from '#base/secret'

const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n

/** The public key that goes with an access key under SigV4A (AWS, "Signature Version 4A": deriving a signing key). */
export function ecdsaPublicKey(accessKeyId: string, secretAccessKey: Secret): KeyObject {
  for (let counter = 1; counter < 255; counter += 1) {
    const input = [
      0,
      0,
      0,
      1,
      ...bytes('AWS4-ECDSA-P256-SHA256'),
      0,
      ...bytes(accessKeyId),
      counter,
      0,
      0,
      1,
      0,
    ]
    const digest = createHmac('sha256', `AWS4A${secretAccessKey.revealText()}`)
    const candidate = BigInt(`0x${digest.update(Buffer.from(input)).digest('hex')}`)
    if (candidate <= order - 2n) return publicKeyOf(candidate + 1n)
  }
  throw new RangeError('no counter yields a key')
}

function bytes(text: string): Buffer {
  return Buffer.from(text)
}

function publicKeyOf(privateKey: bigint): KeyObject {
  const curve = createECDH('prime256v1')
  curve.setPrivateKey(privateKey.toString(16).padStart(64, '0'), 'hex')
  const point = curve.getPublicKey()
  const coordinate = (start: number) => point.subarray(start, start + 32).toString('base64url')
  return createPublicKey({
    key: { kty: 'EC', crv: 'P-256', x: coordinate(1), y: coordinate(33) },
    format: 'jwk',
  })
}
