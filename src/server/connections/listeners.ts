import { once } from 'node:events'
import { createServer, type AddressInfo, type ListenOptions, type Server, type Socket } from 'node:net'

/** Listening sockets that share a port. Disposed of, they are closed, and so is all that they have accepted. */
export interface Listeners extends AsyncDisposable {
  readonly port: number
}

/**
 * How many. libuv accepts one connection for each in a turn of the event loop, and a server with much to do takes few
 * turns: with one of them a thousand daemons would wait in the kernel, where nobody sees for how long, and what is
 * accepted at last are connections that their daemons have given up.
 */
const count = 16

async function listening(server: Server, options: ListenOptions): Promise<number> {
  server.listen(options)
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

async function close(servers: readonly Server[]): Promise<void> {
  const closed = servers.map((server) => once(server, 'close'))
  for (const server of servers) server.close()
  await Promise.all(closed)
}

/** A port that is shared would be taken although another process of this user listens there, in the same way. */
async function expectFree(where: ListenOptions): Promise<void> {
  const server = createServer((socket) => socket.destroy())
  await listening(server, where)
  await close([server])
}

/**
 * Opens them; port 0 takes a free one. `accept` is told of each connection, from which nothing has been read yet, up
 * to `max` at a time; more are closed. @throws what `node:net` does when the port cannot be had
 */
export async function openListeners(
  where: { readonly host: string; readonly port: number },
  { max, accept }: { max: number; accept: (socket: Socket) => void },
): Promise<Listeners> {
  await expectFree(where)
  const connections = new Set<Socket>()
  const take = (socket: Socket) => {
    connections.add(socket)
    socket.once('close', () => connections.delete(socket))
    // Whoever has reset it by now has no address any more: it would take a handshake's place and work for nothing.
    if (connections.size > max || socket.remoteAddress === undefined) socket.destroy()
    else accept(socket)
  }
  const servers: Server[] = []
  async function dispose(): Promise<void> {
    const closed = close(servers)
    // Whatever they were about: who is let in by a server that stops would keep it from stopping.
    for (const socket of connections) socket.destroy()
    await closed
  }
  let { port } = where
  try {
    while (servers.length < count) {
      const server = createServer({ pauseOnConnect: true, noDelay: true }, take)
      port = await listening(server, { ...where, port, reusePort: true })
      servers.push(server)
    }
  } catch (error) {
    await dispose()
    throw error
  }
  return { port, [Symbol.asyncDispose]: dispose }
}
