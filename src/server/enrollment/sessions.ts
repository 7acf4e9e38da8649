import type { Http2Session } from 'node:http2'

/**
 * Keeps the sessions of each peer at `max`: the oldest is ended for the newest.
 * SECURITY: one node that was taken over, or a daemon that was deleted and has its SVID still, could otherwise
 * have all connections that the server takes.
 */
export function openSessions(max: number): (peer: string, session: Http2Session) => void {
  const known = new Map<string, Set<Http2Session>>()
  return (peer, session) => {
    const sessions = known.get(peer) ?? new Set<Http2Session>()
    known.set(peer, sessions.add(session))
    session.once('close', () => {
      sessions.delete(session)
      if (sessions.size === 0 && known.get(peer) === sessions) known.delete(peer)
    })
    const [oldest] = sessions
    if (sessions.size <= max) return
    sessions.delete(oldest!)
    oldest!.destroy()
  }
}
