import { generateKeyPair } from 'node:crypto'
import { promisify } from 'node:util'
import type { Clock } from '#base/clock'
import type { Log } from '#base/log'
import { openSigningKeys, type KeyPlace, type KeySchedule, type SigningKeys } from './signing-keys.ts'

// Their only verifiers are the servers on the same store, which follow it.
const publishAheadSeconds = 60

/**
 * The keys of service accounts' tokens, which the issuer does not publish: a token for the audience of a cloud must
 * not pass for a workload's. `publishAheadSeconds` is theirs at most.
 * @throws Fault SETTING_INVALID, STORE_CORRUPT
 */
export async function openAccountKeys({
  schedule,
  ...options
}: KeyPlace & { clock: Clock; log: Log; schedule: KeySchedule }): Promise<SigningKeys> {
  return openSigningKeys({
    ...options,
    name: 'access',
    signs: 'service account tokens',
    commonName: 'Tideway service accounts',
    generate: () => promisify(generateKeyPair)('ec', { namedCurve: 'P-256' }),
    schedule: {
      ...schedule,
      publishAheadSeconds: Math.min(publishAheadSeconds, schedule.publishAheadSeconds),
    },
  })
}
