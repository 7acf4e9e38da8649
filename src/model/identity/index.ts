/**
 * Names of workloads: SPIFFE IDs, trust domains and workload IDs, as branded strings made only by their parsers.
 * It does not decide which process bears which identity (`#model/selectors`, `#model/policy`).
 */
export {
  formatSpiffeId,
  parseSpiffeId,
  parseTrustDomain,
  parseWorkloadId,
  splitSpiffeId,
} from './identity.ts'
export type { SpiffeId, TrustDomain, WorkloadId } from './identity.ts'
export type { ProcessPin } from './process-pin.ts'
