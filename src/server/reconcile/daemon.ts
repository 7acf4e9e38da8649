import type { Daemon } from '#model/resource'
import { judge, unsupportedIn, type Judgement } from './desired-status.ts'
import type { World } from './world.ts'

/** Conditions only: what a daemon says of its health is written by its stream (`server/enrollment`). */
export function judgeDaemon(object: Daemon, { streams, reports }: World): Judgement[] {
  const { metadata, status } = object
  const stream = streams.stream(metadata.name)
  const shared = [...unsupportedIn(object), ...reports.about(object)]
  if (!stream) {
    const seen = status?.lastSeenAt === undefined ? '' : `; last seen at ${status.lastSeenAt}`
    const message = `not connected${seen}: look at the daemon's log on its node`
    return [judge('Ready', 'False', 'Disconnected', message), ...shared]
  }
  const { error, synchronised } = stream
  return [
    judge('Ready', 'True', 'Connected', 'its stream is open'),
    error !== undefined
      ? judge('InSync', 'False', 'UpdateFailed', `it could not put its scope into effect: ${error}`)
      : synchronised
        ? judge('InSync', 'True', 'Acknowledged', 'its whole scope is in effect')
        : judge('InSync', 'Unknown', 'Waiting', 'it is putting an update of its scope into effect'),
    ...shared,
  ]
}
