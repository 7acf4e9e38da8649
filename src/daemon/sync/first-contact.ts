import { createHash, X509Certificate } from 'node:crypto'
import { connect } from 'node:tls'
import { Fault } from '#base/errors'
import { endpointOf, type Addresses } from './addresses.ts'

const timeoutMs = 10_000
const maxChain = 10

function presentedChain(leaf: import('node:tls').DetailedPeerCertificate): X509Certificate[] {
  const chain: X509Certificate[] = []
  let certificate: import('node:tls').DetailedPeerCertificate | undefined = leaf
  while (certificate?.raw && chain.length < maxChain) {
    chain.push(new X509Certificate(certificate.raw))
    // A self-signed certificate is its own issuer.
    if (certificate.issuerCertificate === certificate) break
    certificate = certificate.issuerCertificate
  }
  return chain
}

/**
 * Fetches the CA certificate whose DER has the SHA-256 `caHash` (`sha256:<hex>`) from the chain that the server
 * presents. SECURITY: nothing but that certificate is taken from this unverified connection; the real one is
 * then verified against it in full (security rule 22).
 * @throws Fault SERVER_UNREACHABLE, CERTIFICATE_INVALID
 */
export async function fetchPinnedAuthority(
  server: URL,
  caHash: string,
  { lookup }: Pick<Addresses, 'lookup'>,
): Promise<X509Certificate> {
  const expected = /^sha256:([0-9a-f]{64})$/.exec(caHash)?.[1]
  if (expected === undefined) {
    throw new Fault('SETTING_INVALID', `${JSON.stringify(caHash)} is not sha256: and 64 hexadecimal digits`)
  }
  const chain = await new Promise<X509Certificate[]>((resolve, reject) => {
    const unreachable = (reason: string) =>
      reject(new Fault('SERVER_UNREACHABLE', `no TLS connection to ${server.host}: ${reason}`))
    const socket = connect({ ...endpointOf(server), lookup, rejectUnauthorized: false }, () => {
      resolve(presentedChain(socket.getPeerCertificate(true)))
      socket.destroy()
    })
    socket.setTimeout(timeoutMs, () => {
      unreachable(`no answer within ${timeoutMs} ms`)
      socket.destroy()
    })
    socket.on('error', ({ message }) => unreachable(message))
  })
  const pinned = chain.find(({ raw }) => createHash('sha256').update(raw).digest('hex') === expected)
  if (pinned) return pinned
  throw new Fault(
    'CERTIFICATE_INVALID',
    `no certificate that ${server.host} presents has the hash ${caHash}`,
    {
      hint: 'compare --ca-hash with what the server printed with the join token',
    },
  )
}
