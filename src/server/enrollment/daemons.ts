import { createHash, type KeyObject, type X509Certificate } from 'node:crypto'
import type { EpochMs } from '#base/clock'
import { Fault } from '#base/errors'
import {
  formatSpiffeId,
  parseWorkloadId,
  splitSpiffeId,
  type SpiffeId,
  type TrustDomain,
  type WorkloadId,
} from '#model/identity'
import { spiffeIdOf } from '#model/pki'
import { defaultNamespace, type Daemon } from '#model/resource'
import { isBeingDeleted, type Resources, type Store, type StoreCompare } from '#server/store'

/** All Daemon objects live here: their names are unique in the whole trust domain. */
export const daemonNamespace = defaultNamespace
export const generatedIdPrefix = 'riptides/daemon/'
/** What the server calls itself; nobody else may. */
export const serverWorkloadId: WorkloadId = parseWorkloadId('tideway/server')

/** Whether a workload ID is kept for parts of Tideway itself: the server, and daemons that chose none. */
export function isReservedWorkloadId(workloadId: string): boolean {
  return workloadId === serverWorkloadId || workloadId.startsWith(generatedIdPrefix)
}

const label = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/

/**
 * The name of the Daemon object for a workload ID: always the same one, so that creating the object is what
 * claims the ID. `riptides/daemon/web-1` is `web-1`; other IDs carry a digest, for they may differ in ways that
 * an object name cannot show.
 */
export function daemonNameOf(workloadId: WorkloadId): string {
  const segment = workloadId.slice(workloadId.lastIndexOf('/') + 1)
  if (workloadId === generatedIdPrefix + segment && label.test(segment)) return segment
  const words = segment.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')
  const readable = words.slice(0, 40).replaceAll(/^-|-$/g, '') || 'daemon'
  const digest = createHash('sha256').update(workloadId).digest('hex').slice(0, 12)
  return `${readable}-${digest}`
}

/** Which key each daemon joined with: it is the daemon's for as long as its object lives. */
export interface NodeKeys {
  record(daemon: Daemon, key: KeyObject): Promise<void>
  /** Whether this very object (not an earlier one of its name) was joined with this key. */
  belongs(daemon: Daemon, key: KeyObject): Promise<boolean>
  /** Holds for as long as nobody records another key for the daemon. */
  held(daemonName: string): Promise<StoreCompare>
  /** Removes what there was then, unless it holds no more. */
  remove(held: StoreCompare): Promise<void>
  /** Names of the daemons that have a key on record. */
  names(): Promise<readonly string[]>
}

export function openNodeKeys(store: Store): NodeKeys {
  const prefix = '/enrollment/node-keys/'
  const storeKey = (name: string) => prefix + name
  const encode = ({ metadata }: Daemon, key: KeyObject) =>
    Buffer.from(`${metadata.uid} ${key.export({ type: 'spki', format: 'der' }).toString('base64')}`)
  return {
    async record(daemon, key) {
      const operation = {
        type: 'put',
        key: storeKey(daemon.metadata.name),
        value: encode(daemon, key),
      } as const
      await store.transaction([], [operation])
    },
    async belongs(daemon, key) {
      const entry = await store.get(storeKey(daemon.metadata.name))
      return entry !== undefined && encode(daemon, key).equals(entry.value)
    },
    async held(name) {
      const key = storeKey(name)
      return { key, modRevision: (await store.get(key))?.modRevision ?? 0 }
    },
    async remove(held) {
      await store.transaction([held], [{ type: 'delete', key: held.key }])
    },
    async names() {
      const { entries } = await store.list(prefix)
      return entries.map(({ key }) => key.slice(prefix.length))
    },
  }
}

/** Who a certificate says is calling, before anything else was asked. */
export interface Peer {
  readonly spiffeId: SpiffeId
  readonly workloadId: WorkloadId
  readonly daemonName: string
  readonly key: KeyObject
  readonly expiresAt: EpochMs
}

/**
 * Reads the peer from a certificate whose chain TLS has verified: from its URI name, and from nothing else.
 * @throws Fault CERTIFICATE_INVALID, IDENTITY_INVALID, NODE_REFUSED for another trust domain
 */
export function peerOf(certificate: X509Certificate, expected: TrustDomain): Peer {
  const spiffeId = spiffeIdOf(certificate)
  const { trustDomain, workloadId } = splitSpiffeId(spiffeId)
  if (trustDomain !== expected) throw new Fault('NODE_REFUSED', `${spiffeId} is of another trust domain`)
  return {
    spiffeId,
    workloadId,
    daemonName: daemonNameOf(workloadId),
    key: certificate.publicKey,
    expiresAt: certificate.validToDate.getTime(),
  }
}

/**
 * The Daemon object of a peer. SECURITY: asked anew on every call, so that deleting the object refuses its SVID
 * at once; the key must be the recorded one, so that an SVID of a deleted daemon stays refused when the ID has
 * been claimed again.
 * @throws Fault NODE_REFUSED
 */
export async function expectDaemon(
  { resources, nodeKeys }: { resources: Resources; nodeKeys: NodeKeys },
  { spiffeId, workloadId, key }: Pick<Peer, 'spiffeId' | 'workloadId' | 'key'>,
): Promise<Daemon> {
  const daemon = await resources.get('Daemon', daemonNamespace, daemonNameOf(workloadId))
  // SECURITY: what is being deleted is nobody's right any more, whatever its finalizers wait for.
  if (daemon?.spec.workloadID !== workloadId || isBeingDeleted(daemon))
    throw new Fault('NODE_REFUSED', `${spiffeId} is no daemon`)
  if (!(await nodeKeys.belongs(daemon, key))) {
    throw new Fault('NODE_REFUSED', `${spiffeId} comes with a key that it did not join with`)
  }
  return daemon
}

export function spiffeIdOfDaemon(trustDomain: TrustDomain, { spec }: Daemon): SpiffeId {
  return formatSpiffeId(trustDomain, parseWorkloadId(spec.workloadID))
}
