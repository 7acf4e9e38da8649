import { createServer, type SecureContext } from 'node:tls'
import type { AddressInfo, Socket } from 'node:net'
import type { Clock } from '#base/clock'
import { Fault } from '#base/errors'
import type { TrustTarget } from './runtimes.ts'

const openMs = 300_000
const maxOpen = 4

/** Opens listeners on loopback that present a leaf of the intercept CA, so that clients can be tried on them. */
export interface TrustListeners extends AsyncDisposable {
  /** Stays open for five minutes. @throws Fault RESOURCE_NOT_FOUND, REQUEST_REFUSED */
  open(): Promise<TrustTarget>
}

/** `hosts`: those bound in the scope; `contextFor` mints their leaves. */
export function openTrustListeners({
  hosts,
  contextFor,
  clock,
}: {
  hosts: () => readonly string[]
  contextFor: (host: string) => SecureContext | undefined
  clock: Clock
}): TrustListeners {
  const closing = new Map<object, () => Promise<void>>()
  return {
    async open() {
      const [bound] = hosts()
      const host = bound?.replace(/^\*\./, 'trust-check.')
      const secureContext = host === undefined ? undefined : contextFor(host)
      if (host === undefined || !secureContext) {
        throw new Fault('RESOURCE_NOT_FOUND', 'no Service is bound in the scope of this daemon', {
          hint: 'apply a CredentialBinding first: the intercept CA is constrained to bound hosts',
        })
      }
      if (closing.size >= maxOpen) throw new Fault('REQUEST_REFUSED', `${maxOpen} trust checks are under way`)
      const server = createServer({ SNICallback: (_name, done) => done(null, secureContext) }, (socket) => {
        socket.on('error', () => {})
        socket.resume()
        socket.end('HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n')
      })
      server.on('tlsClientError', () => {}) // a client that does not trust us says so itself
      const sockets = new Set<Socket>()
      server.on('connection', (socket: Socket) => {
        sockets.add(socket)
        socket.once('close', () => sockets.delete(socket))
      })
      const close = () =>
        new Promise<void>((resolve) => {
          closing.delete(server)
          server.close(() => resolve())
          for (const socket of sockets) socket.destroy()
        })
      closing.set(server, close)
      await new Promise<void>((resolve) => server.listen({ host: '127.0.0.1', port: 0 }, resolve))
      clock.sleep(openMs, { unref: true }).then(
        () => closing.get(server)?.(),
        () => {},
      )
      return { host, port: (server.address() as AddressInfo).port }
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...closing.values()].map((close) => close()))
    },
  }
}
