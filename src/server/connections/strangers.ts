import { isIPv6, type Socket } from 'node:net'

export type Remote = Pick<Socket, 'remoteAddress' | 'remotePort'>

/** Connections whose peers have not shown who they are. */
export interface Strangers {
  enter(socket: Socket): void
  /** This peer has: its connection is none of them any more. */
  leave(peer: Remote): void
}

/** The connection: a TLS socket and the one below it have nothing else in common that can be seen. */
export const nameOf = ({ remoteAddress, remotePort }: Remote) => `${remoteAddress} ${remotePort}`

/** From where a party can have as many connections as it likes: an IPv4 address, or 64 bits of an IPv6 address. */
export function networkOf({ remoteAddress = '' }: Remote): string {
  const address = remoteAddress.replace(/^::ffff:(?=\d+\.)/, '')
  if (!isIPv6(address)) return address
  const [head = [], tail = []] = address.split('::').map((part) => part.split(':').filter(Boolean))
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => '0')
  return [...head, ...zeros, ...tail].slice(0, 4).join(':')
}

/**
 * Keeps them at `max`: beyond it the network with the most loses the one that came first. Whoever opens many closes
 * his own, and one that soon shows who it is gets in, also from the same network.
 */
export function openStrangers(max: number): Strangers {
  const networks = new Map<string, Map<string, Socket>>()
  let count = 0

  function remove(peer: Remote): void {
    const network = networkOf(peer)
    const sockets = networks.get(network)
    if (!sockets?.delete(nameOf(peer))) return
    count--
    if (sockets.size === 0) networks.delete(network)
  }

  function largest(): Map<string, Socket> {
    let most = new Map<string, Socket>()
    for (const sockets of networks.values()) if (sockets.size > most.size) most = sockets
    return most
  }

  return {
    enter(socket) {
      remove(socket) // whatever had this port before
      const network = networkOf(socket)
      const name = nameOf(socket)
      networks.set(network, (networks.get(network) ?? new Map<string, Socket>()).set(name, socket))
      count++
      socket.once('close', () => {
        if (networks.get(network)?.get(name) === socket) remove(socket)
      })
      if (count <= max) return
      const [oldest] = largest().values()
      remove(oldest!)
      oldest!.destroy()
    },
    leave: remove,
  }
}
