import { randomUUID, verify } from 'node:crypto'
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { Clock } from '#base/clock'
import { Fault, isFault, toFault } from '#base/errors'
import type { Log } from '#base/log'
import { Secret } from '#base/secret'
import { parseSpiffeId, parseWorkloadId, splitSpiffeId, type WorkloadId } from '#model/identity'
import { parseCertificateRequest } from '#model/pki'
import {
  allowsJoinTokens,
  definitionOf,
  formatTime,
  withReadiness,
  type Daemon,
  type JoinToken,
} from '#model/resource'
import type { AuditTrail } from '#server/audit'
import type { ResourceCache, Resources, Store } from '#server/store'
import type { JoinRequest, RecoverRequest, SvidResponseSchema } from '#wire/proto'
import {
  daemonNameOf,
  daemonNamespace,
  expectDaemon,
  generatedIdPrefix,
  openNodeKeys,
  serverWorkloadId,
} from './daemons.ts'
import { openRateLimit } from './rate-limit.ts'
import { issueDaemonSvid, type SvidIssuer } from './svid.ts'

type SvidAnswer = MessageInitShape<typeof SvidResponseSchema>

/** How far the clock of a node that recovers may be off. */
const recoverSkewMs = 300_000
const maxFactLength = 256
const joins = 'joins'
/** Refused joins that are audited; more are only logged, so that a flood does not push other records out. */
const auditedRefusals = { perMinute: 60, burst: 100 }

export interface EnrollmentOptions extends SvidIssuer {
  readonly store: Store
  readonly resources: Resources
  readonly cache: Pick<ResourceCache, 'ofWorkload'>
  readonly audit: Pick<AuditTrail, 'change'>
  readonly clock: Clock
  readonly log: Log
}

/** First contact of daemons and their way back in after a long absence (security rule 22). */
export interface DaemonEnrollment {
  /** Consumes a join token and makes a Daemon. @throws Fault JOIN_REFUSED, CERTIFICATE_INVALID */
  join(request: JoinRequest, from: string): Promise<SvidAnswer>
  /** Issues an SVID on proof of the node key. @throws Fault NODE_REFUSED, IDENTITY_INVALID, CERTIFICATE_INVALID */
  recover(request: RecoverRequest): Promise<SvidAnswer>
}

const refuse = (reason: string, cause?: unknown) => new Fault('JOIN_REFUSED', reason, { cause })

export function openEnrollment(options: EnrollmentOptions): DaemonEnrollment {
  const { store, resources, cache, audit, clock, log, trustDomain } = options
  const nodeKeys = openNodeKeys(store)
  const refusals = openRateLimit({ clock, ...auditedRefusals })

  /**
   * Groups that joining with this token gives, beside the token's own (docs/decisions/0002).
   * SECURITY: a Verifier whose conditions we do not check yet allows nothing.
   */
  async function verifiedGroups(namespace: string): Promise<readonly string[]> {
    const { items } = await resources.list('Verifier', namespace)
    const allowing = items.filter(allowsJoinTokens)
    if (items.length > 0 && allowing.length === 0) {
      throw refuse('there are Verifiers, and none of them allows join tokens')
    }
    return allowing.flatMap(({ spec }) => spec.daemonGroups ?? [])
  }

  async function expectToken(text: string): Promise<JoinToken> {
    const token = await resources.matchJoinToken(Secret.of(text))
    if (!token) throw refuse('the join token is unknown or was used before')
    const { expireAt } = token.spec
    if (expireAt !== undefined && Date.parse(expireAt) <= clock.now()) {
      throw refuse(`join token ${token.metadata.name} expired at ${expireAt}`)
    }
    return token
  }

  /**
   * Deletes the token: of many who present it, one can. A controller that writes its status in between changes its
   * version, but nothing that was judged: then it is tried again.
   */
  async function consume({ metadata }: JoinToken): Promise<void> {
    const { namespace, name, uid, generation } = metadata
    let { resourceVersion } = metadata
    for (;;) {
      try {
        await resources.delete('JoinToken', namespace, name, { uid, resourceVersion })
        return
      } catch (error) {
        if (isFault(error, 'RESOURCE_CONFLICT')) {
          const now = (await resources.get('JoinToken', namespace, name))?.metadata
          if (now?.uid === uid && now.generation === generation && now.resourceVersion !== resourceVersion) {
            resourceVersion = now.resourceVersion
            continue
          }
        }
        if (isFault(error, 'RESOURCE_NOT_FOUND') || isFault(error, 'RESOURCE_CONFLICT')) {
          throw refuse(`join token ${name} was used or changed meanwhile`, error)
        }
        throw error
      }
    }
  }

  function expectUnclaimed(workloadId: WorkloadId): void {
    if (workloadId === serverWorkloadId) throw refuse(`${workloadId} is the server's own ID`)
    if (cache.ofWorkload('Daemon', workloadId).length > 0) {
      throw refuse(`${workloadId} belongs to a daemon that has joined already`)
    }
    // SECURITY: a workload with a daemon's ID would hold certificates that pass for the daemon's.
    if (cache.ofWorkload('WorkloadIdentity', workloadId).length > 0) {
      throw refuse(`${workloadId} is the ID of a workload`)
    }
  }

  async function createDaemon(workloadId: WorkloadId, daemonGroups: string[]): Promise<Daemon> {
    try {
      return await resources.create<'Daemon'>({
        apiVersion: definitionOf('Daemon').apiVersion,
        kind: 'Daemon',
        metadata: { name: daemonNameOf(workloadId), namespace: daemonNamespace },
        spec: {
          workloadID: workloadId,
          claimerType: 'JoinToken',
          ...(daemonGroups.length > 0 && { daemonGroups }),
        },
      })
    } catch (error) {
      if (isFault(error, 'RESOURCE_EXISTS')) throw refuse(`${workloadId} was claimed meanwhile`, error)
      throw error
    }
  }

  async function enroll(request: JoinRequest): Promise<{ daemon: Daemon; answer: SvidAnswer }> {
    // What can be wrong with the request is found before the token is spent.
    const { publicKey } = parseCertificateRequest(request.csrDer)
    const token = await expectToken(request.token)
    const groups = new Set([
      ...(token.spec.daemonGroups ?? []),
      ...(await verifiedGroups(token.metadata.namespace)),
    ])
    const workloadId = parseWorkloadId(token.spec.workloadID ?? generatedIdPrefix + randomUUID())
    expectUnclaimed(workloadId)
    await consume(token)
    const daemon = await createDaemon(workloadId, [...groups].sort())
    await nodeKeys.record(daemon, publicKey)
    const joined = {
      state: 'PENDING',
      message:
        'joined, not connected yet, which takes a few seconds; if it stays so look at its log on its node',
      updateAt: formatTime(clock.now()),
      version: request.version.slice(0, maxFactLength),
      metadata: [{ name: 'node:hostname', value: request.hostname.slice(0, maxFactLength) }],
    } satisfies Daemon['status']
    await resources.updateStatus('Daemon', daemonNamespace, daemon.metadata.name, ({ status }) =>
      withReadiness({ ...status, ...joined }, clock.now()),
    )
    const { response } = await issueDaemonSvid(options, daemon, request.csrDer)
    return { daemon, answer: response }
  }

  return {
    async join(request, from) {
      try {
        const { daemon, answer } = await enroll(request)
        const { name } = daemon.metadata
        log.info('daemon.joined', { daemon: name, spiffeId: answer.spiffeId, from })
        await audit.change({ actor: answer.spiffeId!, verb: 'join', object: `daemon/${name}`, outcome: 'ok' })
        return answer
      } catch (error) {
        const { message } = toFault(error)
        log.warn('daemon.join.refused', { from, reason: message })
        if (!refusals.allows(joins)) throw error
        refusals.spend(joins)
        await audit.change({
          actor: `address:${from}`,
          verb: 'join',
          object: 'daemon',
          outcome: 'refused',
          message,
        })
        throw error
      }
    },
    async recover({ spiffeId: claimed, csrDer, atEpochMs, proof }) {
      const spiffeId = parseSpiffeId(claimed)
      const { publicKey: key } = parseCertificateRequest(csrDer)
      const { trustDomain: itsTrustDomain, workloadId } = splitSpiffeId(spiffeId)
      if (itsTrustDomain !== trustDomain)
        throw new Fault('NODE_REFUSED', `${spiffeId} is of another trust domain`)
      const daemon = await expectDaemon({ resources, nodeKeys }, { spiffeId, workloadId, key })
      if (Math.abs(Number(atEpochMs) - clock.now()) > recoverSkewMs) {
        throw new Fault(
          'NODE_REFUSED',
          `${spiffeId} recovers with a clock that is off by more than five minutes`,
        )
      }
      const signed = Buffer.concat([Buffer.from(`tideway-recover${spiffeId}${atEpochMs}`), csrDer])
      if (!verify('sha256', signed, key, proof)) {
        throw new Fault('NODE_REFUSED', `${spiffeId} recovers without proof of its node key`)
      }
      log.info('daemon.recovered', { daemon: daemon.metadata.name, spiffeId })
      return (await issueDaemonSvid(options, daemon, csrDer)).response
    },
  }
}
