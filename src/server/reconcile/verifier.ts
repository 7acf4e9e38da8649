import type { Verifier } from '#model/resource'
import { unsupportedIn, type DesiredStatus } from './desired-status.ts'

export function judgeVerifier(object: Verifier): DesiredStatus<'Verifier'> {
  const unsupported = unsupportedIn(object)
  const [problem] = unsupported
  return {
    state: problem ? 'FAILED' : 'Available',
    message: problem?.message ?? 'daemons may join by this method',
    conditions: unsupported,
  }
}
