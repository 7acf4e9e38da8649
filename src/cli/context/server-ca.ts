import { createHash, X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { connect, type DetailedPeerCertificate } from 'node:tls'
import { Fault } from '#base/errors'

/**
 * Fetches the CA certificate that a server presents and accepts it only when its SHA-256 is `caHash`
 * (`sha256:<hex>`, as the server prints at start): first contact is never trust-on-first-use.
 * @throws Fault SETTING_INVALID for what is no hash, SERVER_UNREACHABLE, CERTIFICATE_INVALID
 */
export async function fetchServerCa(server: string, caHash: string): Promise<string> {
  if (!/^sha256:[0-9a-f]{64}$/i.test(caHash)) {
    throw new Fault('SETTING_INVALID', 'the CA hash is not sha256: and 64 hexadecimal digits')
  }
  const { hostname, port } = new URL(server)
  const chain = await new Promise<DetailedPeerCertificate>((resolve, reject) => {
    // SECURITY: unverified on purpose, and nothing is sent: only the certificate is read, and judged by its hash.
    const host = hostname.replace(/^\[(.*)\]$/, '$1')
    const socket = connect({
      host,
      port: Number(port || 443),
      // RFC 6066, section 3: an address is no server name.
      ...(isIP(host) === 0 && { servername: host }),
      rejectUnauthorized: false,
    })
    socket.setTimeout(10_000, () => socket.destroy(new Error('timed out')))
    socket.on('error', (error) => {
      reject(new Fault('SERVER_UNREACHABLE', `${server}: ${error.message}`, { cause: error }))
    })
    socket.on('secureConnect', () => {
      resolve(socket.getPeerCertificate(true))
      socket.destroy()
    })
  })
  const seen = new Set<string>()
  for (let at = chain; at?.raw && !seen.has(at.fingerprint256); at = at.issuerCertificate) {
    seen.add(at.fingerprint256)
    const digest = `sha256:${createHash('sha256').update(at.raw).digest('hex')}`
    if (digest === caHash.toLowerCase()) return new X509Certificate(at.raw).toString()
  }
  throw new Fault('CERTIFICATE_INVALID', `no certificate of ${server} has the hash ${caHash}`, {
    hint: 'compare it with the hash that the server printed at start; if it differs, somebody may be in between',
  })
}
