import { lookup as lookupByOs, type LookupAddress } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import type { Clock } from '#base/clock'

/**
 * Of a connection with its handshake, where there is another address to go to. Where there is not, waiting is the
 * best that can be done: a server to which all come back at once takes some seconds.
 */
const handshakeTimeoutMs = 3_000

/** All addresses that a name has. */
export type Resolve = (
  hostname: string,
  options: { all: true },
  callback: (error: NodeJS.ErrnoException | null, found: LookupAddress[]) => void,
) => void

/** Where to connect for a URL, as `node:tls` takes it: an IPv6 address without its brackets. */
export function endpointOf({ hostname, port }: URL): { host: string; port: number } {
  return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 443) }
}

/** The addresses of the servers, which have one name together. */
export interface Addresses {
  /**
   * For `node:net`, which goes on to the next address where nobody listens. Another order each time, so that daemons
   * spread over the servers, but with the one that hung at the end.
   */
  readonly lookup: LookupFunction
  /** Whether there was another one to go to when they were last looked up. */
  several(): boolean
  /** Begins a connection; it fails where somebody listens and says nothing. */
  dial(options: ConnectionOptions): TLSSocket
  /** The server at its other end says nothing any more. */
  hangs(socket: TLSSocket): void
}

export function openAddresses({
  resolve = lookupByOs,
  clock,
  random,
}: {
  resolve?: Resolve | undefined
  clock: Clock
  random: () => number
}): Addresses {
  let hanging: string | undefined
  let count = 0

  function inOrder(found: readonly LookupAddress[]): LookupAddress[] {
    const ranked = found.map((one) => ({ one, rank: random() + (one.address === hanging ? 1 : 0) }))
    return ranked.sort((a, b) => a.rank - b.rank).map(({ one }) => one)
  }

  const lookup: LookupFunction = (hostname, { all = false }, callback) =>
    resolve(hostname, { all: true }, (error, found) => {
      if (error) return callback(error, [])
      count = found.length
      const ordered = inOrder(found)
      if (all) return callback(null, ordered)
      const { address, family } = ordered[0]!
      callback(null, address, family)
    })

  const several = () => count > 1
  const hangs = ({ remoteAddress }: TLSSocket) => {
    hanging = remoteAddress
  }
  return {
    lookup,
    several,
    hangs,
    dial(options) {
      const socket = connect({ ...options, lookup })
      const giveUp = () => {
        if (!several()) return
        hangs(socket)
        socket.destroy(new Error(`no TLS handshake within ${handshakeTimeoutMs / 1000} s`))
      }
      const cancel = clock.after(handshakeTimeoutMs, giveUp, { unref: true })
      return socket.once('secureConnect', cancel).once('close', cancel)
    },
  }
}
