/** What is measured: loads, their units and the goals. */
import type { Load } from './load.ts'
import type { PeerName } from './peers.ts'

export type Goals = Readonly<Partial<Record<PeerName, number>>>

export interface Cell {
  readonly name: string
  /** `handshakes`: connections that are opened, finish their handshake and end. */
  readonly load: Load | { readonly handshakes: true; readonly seconds: number }
  /** CPU is told per this. */
  readonly unit: 'us per request' | 'us per MiB' | 'us per handshake'
  /** MiB that one request moves. */
  readonly mib: number
  /** Most that our CPU may be, as a multiple of a peer's (issue 3). */
  readonly goals: Goals
  /** Peers that cannot do it. */
  readonly without?: readonly PeerName[]
}

const small = (connections: number, seconds: number): Cell => ({
  name: `GET 200 B, ${connections} connections`,
  load: { path: '/item?max=25', connections, seconds },
  unit: 'us per request',
  mib: 1,
  // One connection at a time is shown, not judged: there is nothing to gather, and goals are for 16 and 64.
  goals: connections === 1 ? {} : { nginx: 1.5, squid: 0.6, mitmproxy: 1 / 15 },
})

const bulk = (mib: number, way: 'GET' | 'PUT', seconds: number): Cell => {
  const load = mib > 1 ? { connections: 1, seconds: 2 * seconds } : { connections: 4, seconds }
  return {
    name: `${way} ${mib} MiB, ${load.connections} connections`,
    load:
      way === 'GET' ? { path: `/file/${mib}m`, ...load } : { path: `/put/${mib}m`, ...load, body: mib << 20 },
    unit: 'us per MiB',
    mib,
    goals: { nginx: 1.2, squid: 0.6, mitmproxy: 1 / 15 },
    // Squid 5.7 closes the connection in the middle of large bodies that it peels.
    ...(way === 'PUT' && mib > 1 && { without: ['squid'] as const }),
  }
}

export function allCells(seconds: number): readonly Cell[] {
  return [
    ...[1, 16, 64].map((connections) => small(connections, seconds)),
    ...[1, 64].flatMap((mib) => [bulk(mib, 'GET', seconds), bulk(mib, 'PUT', seconds)]),
    {
      name: 'full TLS handshakes',
      load: { handshakes: true, seconds: Math.ceil(seconds) },
      unit: 'us per handshake',
      mib: 1,
      goals: { nginx: 1.3 },
    },
  ]
}

/** What CI looks at. */
export const quickCell = small(16, 1)
