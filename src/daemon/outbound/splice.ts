import type { Socket } from 'node:net'
import type { Holder } from './backlog.ts'
import { reset } from './reset.ts'
import { waitingIn } from './waiting.ts'

/** How long a peer may be silent at TCP level before the kernel asks whether it is still there. */
const keepAliveMs = 60_000

/**
 * Joins two sockets byte for byte until both directions have ended; half-closes pass through, and a break of one
 * breaks the other with a reset. Both must allow half-open. Returns what holds the bytes that wait in it.
 */
export function splice(client: Socket, upstream: Socket): Holder {
  join(client, upstream)
  join(upstream, client)
  return {
    get backlog() {
      return waitingIn(client) + waitingIn(upstream)
    },
    shed: () => reset(client),
  }
}

function join(from: Socket, to: Socket): void {
  from.setKeepAlive(true, keepAliveMs)
  from.once('close', () => {
    // Ended in order: what was written to the other side still has to leave.
    if (!from.readableEnded || from.errored) reset(to)
    else if (!to.writableEnded) to.end()
  })
  from.on('error', () => {})
  if (from.readableEnded) to.end()
  else from.pipe(to)
}
