import type { MessageInitShape } from '@bufbuild/protobuf'
import type { EpochMs } from '#base/clock'
import { formatSpiffeId, type TrustDomain } from '#model/identity'
import type { Daemon } from '#model/resource'
import type { CertificateAuthority } from '#server/issuer'
import type { SvidResponseSchema } from '#wire/proto'
import { serverWorkloadId, spiffeIdOfDaemon } from './daemons.ts'

export interface SvidIssuer {
  readonly ca: CertificateAuthority
  readonly trustDomain: TrustDomain
  /** `host:port` of the daemon port, as daemons reach it. */
  readonly nodeEndpoint: string
  /** Life of a daemon's SVID. Default an hour. */
  readonly svidTtlSeconds?: number
}

const defaultSvidTtlSeconds = 3600

/** Issues a daemon's SVID and tells it all it needs to go on. @throws Fault CERTIFICATE_INVALID */
export async function issueDaemonSvid(
  { ca, trustDomain, nodeEndpoint, svidTtlSeconds = defaultSvidTtlSeconds }: SvidIssuer,
  daemon: Daemon,
  csrDer: Uint8Array,
): Promise<{ response: MessageInitShape<typeof SvidResponseSchema>; notAfter: EpochMs }> {
  const { name } = daemon.metadata
  const spiffeId = spiffeIdOfDaemon(trustDomain, daemon)
  const { chain, notAfter } = await ca.issueSvid({ spiffeId, csrDer, ttlSeconds: svidTtlSeconds })
  const interceptRoot = await ca.interceptRoot(name)
  const response = {
    chainDer: chain.map(({ raw }) => raw),
    bundleDer: ca.bundle().map(({ raw }) => raw),
    spiffeId,
    daemonName: name,
    nodeEndpoint,
    serverSpiffeId: formatSpiffeId(trustDomain, serverWorkloadId),
    interceptRootDer: interceptRoot.raw,
  }
  return { response, notAfter }
}
