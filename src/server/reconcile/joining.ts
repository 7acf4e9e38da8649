import {
  allowsJoinTokens,
  namespaceOf,
  type Daemon,
  type JoinToken,
  type Kind,
  type ResourceOf,
  type Verifier,
  type WorkloadIdentity,
} from '#model/resource'
import { openShortlists } from './multimap.ts'

/** Whether daemons can join with the tokens that there are, as `server/enrollment` decides it. */
export interface Joining {
  /**
   * There is an object, or it has changed; not `living`: it is gone, or about to go. Returns the tokens of which
   * something else may follow now.
   */
  note(object: ResourceOf<Kind>, living: boolean): Iterable<JoinToken>
  /** Tokens whose daemon is to have a workload ID. */
  naming(workloadId: string): Iterable<JoinToken>
  /** Why no daemon can join with a token, if so, and what to do about it. */
  obstacleTo(token: JoinToken): string | undefined
}

/** `holderOf` names a daemon or identity that has a workload ID. */
export function openJoining(
  holderOf: (workloadId: string) => Daemon | WorkloadIdentity | undefined,
): Joining {
  const tokens = new Map<string, JoinToken>()
  const naming = openShortlists<string, JoinToken>()
  const verifiers = new Map<string, Verifier>()
  const nameOf = (object: ResourceOf<Kind>) => `${namespaceOf(object)}/${object.metadata.name}`

  function noteToken(token: JoinToken, living: boolean): void {
    const before = tokens.get(nameOf(token))
    if (before?.spec.workloadID !== undefined) naming.delete(before.spec.workloadID, before)
    if (!living) return void tokens.delete(nameOf(token))
    tokens.set(nameOf(token), token)
    if (token.spec.workloadID !== undefined) naming.add(token.spec.workloadID, token)
  }

  return {
    note(object, living) {
      if (object.kind === 'JoinToken') noteToken(object, living)
      if (object.kind !== 'Verifier') return []
      if (living) verifiers.set(nameOf(object), object)
      else verifiers.delete(nameOf(object))
      const { namespace } = object.metadata
      return tokens.values().filter(({ metadata }) => metadata.namespace === namespace)
    },
    naming: (workloadId) => naming.get(workloadId),
    obstacleTo({ metadata, spec }) {
      const asked = [...verifiers.values()].filter((one) => one.metadata.namespace === metadata.namespace)
      if (asked.length > 0 && !asked.some(allowsJoinTokens)) {
        const remedy = 'create one with spec.joinToken, or delete them'
        return `none of the Verifiers of its namespace allows join tokens; ${remedy}`
      }
      const holder = spec.workloadID === undefined ? undefined : holderOf(spec.workloadID)
      return (
        holder &&
        `workload ID ${spec.workloadID} belongs to ${holder.kind} ${holder.metadata.name}; delete that, or this token`
      )
    },
  }
}
