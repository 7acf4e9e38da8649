import type { Socket } from 'node:net'
import type { Clock } from '#base/clock'
import { nameOf, networkOf, type Remote } from '#server/connections'

/** More at a time take no less time together, and each of them longer: then clients give up, and it was for nothing. */
const defaultAtOnce = 32
/**
 * How long one counts, of the time in which this server has nothing to do, and of all time.
 * SECURITY: it may go on, but whoever stalls keeps others waiting for this long and no longer. A server that is short
 * of CPU is no stalling of theirs: it would begin ever more, and finish none before its client gives up.
 */
const countedMs = { idle: 250, all: 1_000 }
/** Who has waited for so long gives up before its scope has come: daemons do after 12 s at the latest. */
const maxWaitMs = 6_000

/**
 * Lets new connections begin their handshakes in turn, when a thousand daemons come back at once, and the networks
 * that they come from take turns: whoever opens many has his own wait.
 */
export interface Handshakes {
  /** Takes in a connection from which nothing has been read yet. */
  enter(socket: Socket): void
  /** The handshake of the connection with this peer is over. */
  end(peer: Remote): void
}

/** Milliseconds in which the event loop had nothing to do, so far. */
const idleOfLoop = () => performance.eventLoopUtilization().idle

export function openHandshakes({
  begin,
  clock,
  atOnce = defaultAtOnce,
  idleMs = idleOfLoop,
}: {
  begin: (socket: Socket) => void
  clock: Clock
  atOnce?: number
  idleMs?: () => number
}): Handshakes {
  /** Since when, of each network in the order in which they came; bounded by how many connections the listener takes. */
  const waiting = new Map<string, Map<Socket, number>>()
  const underWay = new Map<string, { readonly cancel: () => void }>()

  /** Until the handshake of this name has gone on for so long that it counts no more. */
  function count(name: string): void {
    const from = { idle: idleMs(), all: clock.monotonic() }
    const look = () => {
      const idle = countedMs.idle - (idleMs() - from.idle)
      const leftMs = Math.min(idle, countedMs.all - (clock.monotonic() - from.all))
      if (leftMs <= 0) end(name)
      else underWay.set(name, { cancel: clock.after(Math.ceil(leftMs), look, { unref: true }) })
    }
    look()
  }

  function start(socket: Socket): void {
    const name = nameOf(socket)
    count(name)
    socket.once('close', () => end(name))
    begin(socket)
  }

  function end(name: string): void {
    underWay.get(name)?.cancel()
    if (underWay.delete(name)) proceed()
  }

  function leave(network: string, socket: Socket): void {
    const sockets = waiting.get(network)
    sockets?.delete(socket)
    if (sockets?.size === 0) waiting.delete(network)
  }

  function proceed(): void {
    for (const [network, sockets] of waiting) {
      if (underWay.size >= atOnce) return
      const [[socket, since]] = sockets as unknown as [[Socket, number]]
      // Behind the other networks, which this loop then comes to first.
      waiting.delete(network)
      if (sockets.delete(socket) && sockets.size > 0) waiting.set(network, sockets)
      if (clock.monotonic() - since >= maxWaitMs) socket.destroy()
      else start(socket)
    }
  }

  return {
    enter(socket) {
      const network = networkOf(socket)
      socket.on('error', () => {})
      socket.once('close', () => leave(network, socket))
      const sockets = waiting.get(network) ?? new Map<Socket, number>()
      waiting.set(network, sockets.set(socket, clock.monotonic()))
      proceed()
    },
    end: (peer) => end(nameOf(peer)),
  }
}
