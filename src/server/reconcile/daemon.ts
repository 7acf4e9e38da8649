import type { EpochMs } from '#base/clock'
import { isFault } from '#base/errors'
import { formatTime, type Daemon } from '#model/resource'
import type { Resources } from '#server/store'
import { judge, reportedFor, unsupportedIn, type Judgement } from './desired-status.ts'
import type { World } from './world.ts'

/** Conditions only: what a daemon says of its health is written by its stream (`server/enrollment`). */
export function judgeDaemon(object: Daemon, { streams }: World): Judgement[] {
  const { metadata, status } = object
  const stream = streams.find(({ daemon }) => daemon.name === metadata.name)
  const shared = [...unsupportedIn(object), ...reportedFor(object, streams)]
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

/** For what an earlier run of the server left behind: no daemon is connected to this one yet. */
export async function markDisconnected(
  resources: Pick<Resources, 'updateStatus'>,
  { metadata, status }: Daemon,
  at: EpochMs,
): Promise<void> {
  if (status?.state === undefined || status.state === 'DISCONNECTED') return
  try {
    await resources.updateStatus('Daemon', metadata.namespace, metadata.name, (current) => ({
      ...current.status,
      state: 'DISCONNECTED',
      message: 'not connected since the server started',
      updateAt: formatTime(at),
    }))
  } catch (error) {
    if (!isFault(error, 'RESOURCE_NOT_FOUND')) throw error
  }
}
