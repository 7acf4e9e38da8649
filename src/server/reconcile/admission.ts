import { Fault } from '#base/errors'
import {
  assumableByAnyLocalUser,
  definitionOf,
  invalidResource,
  subjectOf,
  type Daemon,
  type WorkloadIdentity,
} from '#model/resource'
import type { Admission } from '#server/store'

/**
 * Each process on a node is compared with them, and each daemon of the group has them in memory. Room for a list of a
 * thousand paths or hashes, as long as lists may be, several times over.
 */
const maxSelectorBytes = 262_144

/**
 * Refuses a WorkloadIdentity whose workload ID is a daemon's or the server's, or belongs to another namespace
 * (security rule 18), and, where the setting says so, one that any local user could assume (rule 11). Of two
 * that are written at the same moment the plan keeps one out of force. Refuses one with selectors that take too much.
 */
export function identityAdmission({
  identities,
  daemons,
  isReserved,
  weakIdentities,
}: {
  /** Those that have a workload ID. */
  identities: (workloadId: string) => readonly WorkloadIdentity[]
  daemons: (workloadId: string) => readonly Daemon[]
  /** Whether a workload ID is kept for parts of Tideway itself. */
  isReserved: (workloadId: string) => boolean
  weakIdentities: 'warn' | 'refuse'
}): Admission {
  return ({ operation, object, previous }) => {
    if (object.kind !== 'WorkloadIdentity' || operation === 'delete') return []
    // One that passed beside another, or before the setting: it can be labelled, and a finalizer be removed.
    if (object.metadata.generation === previous?.metadata.generation) return []
    const { spec, metadata } = object
    const subject = subjectOf(definitionOf('WorkloadIdentity'), metadata.name)
    const refuseId = (why: string): never => {
      const message = `Invalid value: ${JSON.stringify(spec.workloadID)}: ${why}`
      throw invalidResource(subject, [{ reason: 'FieldValueInvalid', field: 'spec.workloadID', message }])
    }
    // SECURITY: a workload with such an ID could pass for a daemon, and receive what is meant for it.
    if (isReserved(spec.workloadID)) refuseId('is reserved for daemons and the server')
    if (daemons(spec.workloadID).length > 0) refuseId('belongs to a daemon')
    const owner = identities(spec.workloadID).find((other) => other.metadata.namespace !== metadata.namespace)
    if (owner) refuseId(`belongs to namespace ${owner.metadata.namespace}`)
    if (Buffer.byteLength(JSON.stringify(spec.selectors)) > maxSelectorBytes) {
      const message = `Too long: may not take more than ${maxSelectorBytes} bytes: name fewer processes, or make several identities of it`
      throw invalidResource(subject, [{ reason: 'FieldValueInvalid', field: 'spec.selectors', message }])
    }
    if (weakIdentities === 'refuse' && assumableByAnyLocalUser(spec.selectors)) {
      const message = `${subject} could be assumed by any local user: add process:uid or systemd:unit to its selectors`
      throw new Fault('API_FORBIDDEN', message, { publicText: message })
    }
    return []
  }
}
