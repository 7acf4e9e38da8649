import type { Socket } from 'node:net'

/**
 * Breaks a connection off, so that its other end sees that it is not whole. SECURITY: Unix sockets, over which relays of
 * `tideway run` come, know no reset, and node:net throws where nobody catches it: they are closed.
 */
export function reset(socket: Socket): void {
  try {
    socket.resetAndDestroy()
  } catch {
    socket.destroy()
  }
}
