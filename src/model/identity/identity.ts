import { Fault } from '#base/errors'

/** A SPIFFE ID such as `spiffe://example.org/my-app/workload` (SPIFFE-ID section 2). */
export type SpiffeId = string & { readonly __brand: 'SpiffeId' }
/** A trust domain name such as `example.org` (SPIFFE-ID section 2.1). */
export type TrustDomain = string & { readonly __brand: 'TrustDomain' }
/** The path of a SPIFFE ID without its leading slash: `my-app/workload`. */
export type WorkloadId = string & { readonly __brand: 'WorkloadId' }

// SPIFFE-ID section 2.3: an ID is at most 2048 bytes, a trust domain at most 255.
const maxIdBytes = 2048
const maxTrustDomainBytes = 255

/** @throws Fault IDENTITY_INVALID */
export function parseTrustDomain(text: string): TrustDomain {
  if (!/^[a-z0-9._-]+$/.test(text) || text.length > maxTrustDomainBytes) {
    throw new Fault(
      'IDENTITY_INVALID',
      `trust domain ${JSON.stringify(text)} is not made of a-z, 0-9, '.', '_', '-'`,
    )
  }
  return text as TrustDomain
}

/**
 * Parses a workload ID: path segments of letters, digits, `.`, `_`, `-`, none of them empty, `.` or `..`
 * (SPIFFE-ID section 2.2).
 * @throws Fault IDENTITY_INVALID
 */
export function parseWorkloadId(text: string): WorkloadId {
  const segments = text.split('/')
  const legal = segments.every(
    (segment) => /^[a-zA-Z0-9._-]+$/.test(segment) && segment !== '.' && segment !== '..',
  )
  if (!legal || text.length > maxIdBytes - maxTrustDomainBytes - 'spiffe:///'.length) {
    throw new Fault(
      'IDENTITY_INVALID',
      `workload ID ${JSON.stringify(text.slice(0, 100))} is not a path of segments made of letters, digits, '.', '_', '-'`,
    )
  }
  return text as WorkloadId
}

/** `example.org` + `my-app/workload` -> `spiffe://example.org/my-app/workload`. */
export function formatSpiffeId(trustDomain: TrustDomain, workloadId: WorkloadId): SpiffeId {
  return `spiffe://${trustDomain}/${workloadId}` as SpiffeId
}

/** @throws Fault IDENTITY_INVALID */
export function parseSpiffeId(text: string): SpiffeId {
  const match = /^spiffe:\/\/([^/]*)\/(.*)$/s.exec(text)
  if (!match) throw new Fault('IDENTITY_INVALID', `${JSON.stringify(text.slice(0, 100))} is not a SPIFFE ID`)
  return formatSpiffeId(parseTrustDomain(match[1]!), parseWorkloadId(match[2]!))
}

/** The parts of a parsed SPIFFE ID. */
export function splitSpiffeId(id: SpiffeId): { trustDomain: TrustDomain; workloadId: WorkloadId } {
  const slash = id.indexOf('/', 'spiffe://'.length)
  return {
    trustDomain: id.slice('spiffe://'.length, slash) as TrustDomain,
    workloadId: id.slice(slash + 1) as WorkloadId,
  }
}
