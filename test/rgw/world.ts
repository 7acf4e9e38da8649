import { chownSync, chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { startCeph, type Ceph } from './ceph.ts'
import { createRole, registerIssuer } from './iam.ts'
import { openStsRelay, type StsRelay } from './sts-relay.ts'
import { startTideway, type Status, type Tideway } from './tideway.ts'
import { workloads } from './workload.ts'

export const audience = 'sts.amazonaws.com'

/** One workload with everything it needs to reach S3; by default all of it right. */
export interface Tenant {
  readonly name: string
  readonly uid: number
  /** STS endpoint; Ceph's own unless given. */
  readonly endpoint?: string
  /** Audience of its tokens. */
  readonly audience?: string
  /** Subject that its role admits; its own SPIFFE ID unless given. */
  readonly admitted?: string
  readonly idTokenLifetime?: string
}

export interface World extends AsyncDisposable {
  readonly ceph: Ceph
  readonly tideway: Tideway
  readonly relay: StsRelay
  /** A folder of the workload with `uid`. */
  home(uid: number): string
  as(uid: number): ReturnType<typeof workloads>
  /** Makes role, identity, source and binding. Returns the objects that were applied, by kind. */
  admit(
    tenant: Tenant,
  ): Promise<{ readonly source: object; readonly binding: object; readonly subject: string }>
  /** Waits until the source's status shows a failed exchange; the status then. */
  untilRefused(name: string): Promise<Status>
}

const apiVersion = 'core.riptides.io/v1alpha1'

/** Ceph, a control plane that it knows as an OIDC provider, a daemon, and a Service that is Ceph's S3. */
export async function openWorld(): Promise<World> {
  await using starting = new AsyncDisposableStack()
  const folder = mkdtempSync(path.join(tmpdir(), 'tw-rgw-'))
  // Workloads reach their own folders in it, and the daemon's run folder.
  chmodSync(folder, 0o711)
  const remove = () => rmSync(folder, { recursive: true, force: true })
  process.once('exit', remove)
  starting.defer(() => {
    remove()
    process.removeListener('exit', remove)
  })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
  const ceph = starting.use(await startCeph(path.join(folder, 'ceph')))
  const tideway = starting.use(await startTideway(folder, { exchangeCa: ceph.caFile }))
  ceph.trust('tideway', tideway.caPem)
  const relay = starting.use(await openStsRelay(ceph))
  const { issuerUrl, trustDomain, daemonGroup } = tideway
  await registerIssuer(ceph, {
    url: issuerUrl,
    audience,
    signingCertificate: await tideway.signingCertificate(),
  })
  await tideway.apply({
    apiVersion,
    kind: 'Service',
    metadata: { name: 'ceph-s3' },
    spec: {
      labels: { app: 'objects' },
      addresses: [{ address: 'localhost', port: ceph.port }],
      external: true,
      caBundle: ceph.caPem,
      signing: { service: 's3', region: 'us-east-1' },
    },
  })
  const homes = new Map<number, string>()
  const home = (uid: number) => {
    const known = homes.get(uid)
    if (known !== undefined) return known
    const made = path.join(folder, `home-${uid}`)
    mkdirSync(made)
    chownSync(made, uid, uid)
    homes.set(uid, made)
    return made
  }
  const owned = starting.move()
  return {
    ceph,
    tideway,
    relay,
    home,
    as: (uid) => workloads(tideway, uid, home(uid)),
    async admit({ name, uid, endpoint = ceph.url, admitted, idTokenLifetime, ...tenant }) {
      const workloadID = `rgw/${name}`
      const subject = `spiffe://${trustDomain}/${workloadID}`
      const roleArn = await createRole(ceph, { name, issuerUrl, audience, subject: admitted ?? subject })
      const metadata = { name }
      await tideway.apply({
        apiVersion,
        kind: 'WorkloadIdentity',
        metadata,
        spec: {
          workloadID,
          scope: { daemonGroup: { id: daemonGroup } },
          selectors: [{ 'process:uid': uid }],
          connection: { tls: { intercept: true } },
        },
      })
      const source = {
        apiVersion,
        kind: 'CredentialSource',
        metadata,
        spec: {
          aws: {
            roleArn,
            audience: [tenant.audience ?? audience],
            endpoint,
            region: 'us-east-1',
            ...(idTokenLifetime !== undefined && { idTokenLifetime }),
          },
        },
      }
      const binding = {
        apiVersion,
        kind: 'CredentialBinding',
        metadata,
        spec: {
          workloadID,
          credentialSource: name,
          propagation: { injection: { selectors: [{ app: 'objects' }] } },
          minimumCapture: 'user',
        },
      }
      await tideway.apply(source)
      await tideway.apply(binding)
      return { source, binding, subject }
    },
    untilRefused: async (name) =>
      await tideway.untilStatus('credentialsource', name, ({ message = '' }) =>
        /^exchange .* failed/.test(message),
      ),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}
