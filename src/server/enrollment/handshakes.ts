import type { Socket } from 'node:net'
import type { Clock } from '#base/clock'

/** More at a time take no less time together, and each of them longer: then clients give up, and it was for nothing. */
const defaultAtOnce = 32
/**
 * How long one counts.
 * SECURITY: it may go on, but whoever stalls keeps others waiting for this long and no longer.
 */
const countedMs = 250
/** Who has waited for so long is about to give up: daemons do after 12 s. */
const maxWaitMs = 10_000

type Remote = Pick<Socket, 'remoteAddress' | 'remotePort'>
const nameOf = ({ remoteAddress, remotePort }: Remote) => `${remoteAddress} ${remotePort}`

/** Lets new connections begin their handshakes in turn, when a thousand daemons come back at once. */
export interface Handshakes {
  /** Takes in a connection from which nothing has been read yet. */
  enter(socket: Socket): void
  /** The handshake of the connection with this peer is over. */
  end(peer: Remote): void
  /** Drops those that wait. */
  close(): void
}

export function openHandshakes({
  begin,
  clock,
  atOnce = defaultAtOnce,
}: {
  begin: (socket: Socket) => void
  clock: Clock
  atOnce?: number
}): Handshakes {
  /** In order; bounded by how many connections the listener takes. */
  const waiting = new Map<Socket, { readonly since: number }>()
  const underWay = new Map<string, { readonly cancel: () => void }>()

  function start(socket: Socket): void {
    const name = nameOf(socket)
    underWay.set(name, { cancel: clock.after(countedMs, () => end(name), { unref: true }) })
    socket.once('close', () => end(name))
    begin(socket)
  }

  function end(name: string): void {
    underWay.get(name)?.cancel()
    if (underWay.delete(name)) proceed()
  }

  function proceed(): void {
    for (const [socket, { since }] of waiting) {
      if (underWay.size >= atOnce) return
      waiting.delete(socket)
      if (clock.monotonic() - since >= maxWaitMs) socket.destroy()
      else start(socket)
    }
  }

  return {
    enter(socket) {
      socket.on('error', () => {})
      socket.once('close', () => waiting.delete(socket))
      waiting.set(socket, { since: clock.monotonic() })
      proceed()
    },
    end: (peer) => end(nameOf(peer)),
    close() {
      for (const socket of waiting.keys()) socket.destroy()
    },
  }
}
