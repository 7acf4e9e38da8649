// A listener of the attacker's, which keeps all that reaches it.
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { createSecureContext, TLSSocket, type SecureContextOptions } from 'node:tls'
import { addLoopbackAddress } from '#base/syscall'

export interface Trap {
  readonly address: string
  readonly port: number
  /** Key and certificate that it shows from now on; connections that saw another end. */
  show(identity: SecureContextOptions): void
  /** What came since the last look: connections, and what of it could be decrypted. */
  take(): { connections: number; text: string }
  close(): void
}

/** Opens it on an address of its own in this network namespace. It answers every request with 200. */
export async function openTrap(address: string, port = 443): Promise<Trap> {
  addLoopbackAddress(address, 32)
  let secureContext = createSecureContext()
  let connections = 0
  let caught: Buffer[] = []
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    connections++
    sockets.add(socket)
    socket.on('error', () => {})
    const tls = new TLSSocket(socket, { isServer: true, secureContext })
    tls.on('error', () => {})
    tls.on('data', (chunk: Buffer) => {
      caught.push(chunk)
      tls.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ncaught')
    })
  })
  server.listen(port, address)
  await once(server, 'listening')
  return {
    address,
    port,
    show(identity) {
      secureContext = createSecureContext(identity)
      for (const socket of sockets) socket.destroy()
      sockets.clear()
    },
    take() {
      const taken = { connections, text: Buffer.concat(caught).toString('latin1') }
      connections = 0
      caught = []
      return taken
    },
    close() {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}
