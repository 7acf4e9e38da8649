import type { Socket } from 'node:net'
import { TLSSocket, type SecureContext } from 'node:tls'

/**
 * Becomes the TLS server on a socket whose ClientHello is still unread. Resolves once the handshake is done and
 * HTTP/2 or HTTP/1.1 agreed on: `alpnProtocol` tells, false for a client without ALPN. @throws the error of the TLS stack, or the signal's reason; the socket is destroyed then
 */
export function terminateTls(socket: Socket, secureContext: SecureContext): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const tls = new TLSSocket(socket, { isServer: true, secureContext, ALPNProtocols: ['h2', 'http/1.1'] })
    const fail = (error?: Error) => {
      tls.destroy()
      reject(error ?? new Error('closed during the TLS handshake'))
    }
    const onClose = () => fail()
    tls.once('error', fail)
    tls.once('close', onClose)
    tls.once('secure', () => {
      tls.off('error', fail)
      tls.off('close', onClose)
      resolve(tls)
    })
  })
}
