import type { Daemon } from '#model/resource'
import { enumerate, judge, reportedOn, seeItsLog, unsupportedIn, type Judgement } from './desired-status.ts'
import type { LeftOut } from './room.ts'
import type { World } from './world.ts'

/** Conditions only, and not `Ready`: a daemon's state, and what follows from it, is written by its stream. */
export function judgeDaemon(object: Daemon, { streams, reports, leftOut }: World): Judgement[] {
  const { metadata, status } = object
  const stream = streams.stream(metadata.name)
  const shared = [
    ...unsupportedIn(object),
    ...fullScope(leftOut.get(metadata.name)),
    ...reportedOn(object, reports),
  ]
  // A stream that is open is nobody's life: its server says when nothing is heard of it.
  if (!stream || status?.state === 'DISCONNECTED') return shared
  const { error, synchronised } = stream
  return [
    error !== undefined
      ? judge(
          'InSync',
          'False',
          'UpdateFailed',
          `it could not put its scope into effect (${error}): ${seeItsLog}`,
        )
      : synchronised
        ? judge('InSync', 'True', 'Acknowledged', 'its whole scope is in effect')
        : judge(
            'InSync',
            'Unknown',
            'Waiting',
            'it is putting an update of its scope into effect, which takes a moment',
          ),
    ...shared,
  ]
}

/** Not what it is, which changes with each object: the objects say so themselves. */
function fullScope(leftOut: LeftOut | undefined): Judgement[] {
  if (!leftOut) return []
  const message =
    `it goes without part of what is in namespace ${enumerate([...leftOut.namespaces])}, which wants more than its ` +
    'share of the scope: see which WorkloadIdentities and CredentialBindings there are FAILED with the reason ScopeFull'
  return [judge('ScopeComplete', 'False', 'ScopeFull', message)]
}
