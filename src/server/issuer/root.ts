import { generateKeyPairSync, randomBytes, X509Certificate, type KeyObject } from 'node:crypto'
import type { Clock } from '#base/clock'
import { createRootCertificate, type Signer, type SubjectName } from '#model/pki'
import type { Custody } from '#server/keys'
import type { Store, StoreCompare } from '#server/store'

/** Certificates begin a little earlier than now: the clocks of server and nodes differ. */
export const clockSkewMs = 60_000
const rootLifeMs = 10 * 365 * 86_400_000

export interface RootStorage {
  readonly store: Store
  readonly custody: Custody
  readonly clock: Clock
}

const certificateKey = (name: string) => `/issuer/roots/${name}`
const privateKeyName = (name: string) => `roots/${name}`

export function generateSigningKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
}

/**
 * A root CA (ECDSA P-256, ten years), created on first use: the key in custody, the certificate beside it in
 * the store. Servers that open it at the same time end up with the same one.
 */
export async function openRoot(
  { store, custody, clock }: RootStorage,
  {
    name,
    ...profile
  }: { name: string; commonName: string; pathLength: number; names?: readonly SubjectName[] },
): Promise<Signer> {
  const key = await custody.privateKey(privateKeyName(name), generateSigningKey)
  const known = await store.get(certificateKey(name))
  if (known) return { key, certificate: new X509Certificate(known.value) }
  const now = clock.now()
  const created = createRootCertificate(key, {
    ...profile,
    serial: randomBytes(16),
    notBefore: now - clockSkewMs,
    notAfter: now + rootLifeMs,
  })
  await store.transaction(
    [{ key: certificateKey(name), modRevision: 0 }],
    [{ type: 'put', key: certificateKey(name), value: created.raw }],
  )
  const first = await store.get(certificateKey(name))
  return { key, certificate: first ? new X509Certificate(first.value) : created }
}

/** Removes it where `held` holds. */
export async function removeRoot(
  { store, custody }: RootStorage,
  name: string,
  held: StoreCompare,
): Promise<void> {
  const certificate = { type: 'delete', key: certificateKey(name) } as const
  await store.transaction([held], [certificate, custody.removal(privateKeyName(name))])
}
