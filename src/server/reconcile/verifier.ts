import { verifierMethodOf, type Verifier } from '#model/resource'
import { notImplemented, unsupportedIn, type DesiredStatus } from './desired-status.ts'

export function judgeVerifier(object: Verifier): DesiredStatus<'Verifier'> {
  const method = verifierMethodOf(object)
  const unsupported =
    method === 'joinToken'
      ? unsupportedIn(object)
      : [
          notImplemented(
            `daemons cannot join by ${method} in this version: use spec.joinToken, or delete this Verifier`,
          ),
        ]
  const [problem] = unsupported
  return {
    state: problem ? 'FAILED' : 'Available',
    message: problem?.message ?? 'daemons may join by this method',
    conditions: unsupported,
  }
}
