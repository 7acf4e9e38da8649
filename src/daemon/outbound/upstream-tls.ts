import { isIP, type Socket } from 'node:net'
import { checkServerIdentity, connect, type TLSSocket } from 'node:tls'
import { Fault } from '#base/errors'
import { tellTlsFailure, tlsReason } from '#daemon/tls-failure'
import type { TrustSet } from './trust.ts'

export type Protocol = 'h2' | 'http/1.1'

/**
 * TLS to an upstream over a connected socket, offering `protocols` in order of preference. Resolves once the peer has proved `name` (a DNS name or
 * an IP address) with a certificate that `trust` vouches for.
 *
 * SECURITY: no session is ever offered, so every connection makes the full handshake: chain, dates and name are
 * checked each time, and no session can carry trust (or early data) from one name, identity or trust set to another.
 *
 * @throws Fault UPSTREAM_UNVERIFIED, UPSTREAM_UNREACHABLE
 */
export function connectTls(
  socket: Socket,
  {
    name,
    trust,
    protocols,
    timeoutMs,
  }: { name: string; trust: TrustSet; protocols: readonly Protocol[]; timeoutMs: number },
): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const tls = connect({
      socket,
      secureContext: trust.context,
      servername: isIP(name) ? '' : name,
      ALPNProtocols: [...protocols],
      rejectUnauthorized: true,
      checkServerIdentity: (_, certificate) => checkServerIdentity(name, certificate),
    })
    const onTimeout = () => tls.destroy(new Error(`no TLS handshake within ${timeoutMs} ms`))
    const onError = (error: Error) => {
      // Set by the TLS stack when, and only when, the handshake went well and the certificate did not.
      const refused = Boolean(tls.authorizationError)
      reject(
        new Fault(
          refused ? 'UPSTREAM_UNVERIFIED' : 'UPSTREAM_UNREACHABLE',
          refused
            ? `the certificate shown for ${name} was refused: ${tellTlsFailure(error)}`
            : `TLS with ${name} failed: ${tellTlsFailure(error)}`,
          { cause: error },
        ),
      )
    }
    const onClose = () => onError(new Error('closed during the handshake'))
    tls.setTimeout(timeoutMs, onTimeout)
    tls.once('error', onError)
    tls.once('close', onClose)
    tls.once('secureConnect', () => {
      tls.setTimeout(0, onTimeout)
      tls.off('error', onError)
      tls.off('close', onClose)
      if (tls.authorized && !tls.isSessionReused()) return resolve(tls)
      tls.destroy()
      reject(new Fault('UPSTREAM_UNVERIFIED', `the certificate shown for ${name} was not verified`))
    })
  })
}

/** Whether `connectTls` failed because upstream speaks none of the protocols that it was offered. */
export function wantsOtherProtocol(error: unknown): boolean {
  const cause = error instanceof Fault ? error.cause : undefined
  return cause instanceof Error && tlsReason(cause) === 'ALERT_NO_APPLICATION_PROTOCOL'
}
