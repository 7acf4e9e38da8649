import { createHash } from 'node:crypto'
import type { WorkloadId } from '#model/identity'

const maxLength = 64

/**
 * RoleSessionName of a workload: `my-app/workload` -> `my-app=workload`, which is what CloudTrail shows as the
 * session. `=` cannot occur in a workload ID, so that two workloads never share a name; one that is too long is
 * cut and ends with a hash of the whole. Legal characters: `[\w+=,.@-]{2,64}` (STS AssumeRoleWithWebIdentity).
 */
export function roleSessionName(workloadId: WorkloadId): string {
  const name = workloadId.replaceAll('/', '=')
  if (name.length === 1) return `${name}=`
  if (name.length <= maxLength) return name
  const hash = createHash('sha256').update(workloadId).digest('hex').slice(0, 10)
  return `${name.slice(0, maxLength - hash.length - 1)},${hash}`
}
