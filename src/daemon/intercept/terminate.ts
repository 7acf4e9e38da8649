import type { Socket } from 'node:net'
import { TLSSocket, type SecureContext } from 'node:tls'

/**
 * Becomes the TLS server on a socket whose ClientHello is still unread. Resolves once the handshake is done and one
 * of `protocols` agreed on, the first that the client offers: `alpnProtocol` tells, false for one without ALPN.
 * @throws the error of the TLS stack; the socket is destroyed then
 */
export function terminateTls(
  socket: Socket,
  secureContext: SecureContext,
  protocols: readonly string[],
): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const tls = new TLSSocket(socket, { isServer: true, secureContext, ALPNProtocols: [...protocols] })
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
