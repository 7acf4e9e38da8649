import { Buffer } from 'node:buffer'
import { createHmac, createSecretKey, type KeyObject } from 'node:crypto'
import type { AwsCredential } from '#model/credential'
import { HmacKey } from './hmac-key.ts'

interface KeyScope {
  /** `YYYYMMDD` */
  readonly date: string
  readonly region: string
  readonly service: string
}

/** Scopes remembered per credential; at the bound all are forgotten, which costs four hashes each. */
const maxScopes = 64

/** Keys live as long as their credential object, so that a rotation or revocation takes them along. */
const keys = new WeakMap<AwsCredential, Map<string, HmacKey>>()

/** The signing key for a day, region and service (SigV4, "Calculate the signature"), derived once. */
export function signingKey(credential: AwsCredential, scope: KeyScope): HmacKey {
  let scopes = keys.get(credential)
  if (!scopes) keys.set(credential, (scopes = new Map()))
  const id = `${scope.date}/${scope.region}/${scope.service}`
  let key = scopes.get(id)
  if (!key) {
    if (scopes.size >= maxScopes) scopes.clear()
    scopes.set(id, (key = new HmacKey(deriveKey(credential, scope))))
  }
  return key
}

function deriveKey({ secretAccessKey }: AwsCredential, { date, region, service }: KeyScope): KeyObject {
  const secret = Buffer.concat([Buffer.from('AWS4'), secretAccessKey.reveal()])
  let key = createSecretKey(secret)
  secret.fill(0)
  for (const part of [date, region, service, 'aws4_request']) {
    const digest = createHmac('sha256', key).update(part).digest()
    key = createSecretKey(digest)
    digest.fill(0)
  }
  return key
}
