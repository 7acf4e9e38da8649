import type { WorkloadCredential } from '#model/resource'
import { notImplemented, type DesiredStatus } from './desired-status.ts'

/** Delivery as a file does not exist yet: it never reads OK. */
export function judgeWorkloadCredential(_object: WorkloadCredential): DesiredStatus<'WorkloadCredential'> {
  const message =
    'delivery as a file is not implemented yet: use a CredentialBinding with spec.propagation.injection'
  return { state: 'FAILED', message, conditions: [notImplemented(message)] }
}
