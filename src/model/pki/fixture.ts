import {
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  X509Certificate,
  type KeyObject,
} from 'node:crypto'
import {
  certificatesToPem,
  createCertificateRequest,
  createRootCertificate,
  hostConstraints,
  issueCertificate,
  mintLeaf,
  parseCertificateRequest,
  type Signer,
  type SubjectName,
} from './index.ts'

const minute = 60_000

export const makeKey = (): KeyObject => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey

/** Root, intermediate constrained to `hosts`, and leaves under it: as server and daemon make them. */
export function makeInterceptChain(hosts: readonly string[], at: number) {
  const validity = { notBefore: at - minute, notAfter: at + 60 * minute }
  const serial = () => randomBytes(16)
  const root: Signer = (() => {
    const key = makeKey()
    return {
      key,
      certificate: createRootCertificate(key, {
        commonName: 'root',
        serial: serial(),
        ...validity,
        pathLength: 1,
      }),
    }
  })()
  const key = makeKey()
  const { publicKey } = parseCertificateRequest(createCertificateRequest(key))
  const intermediate = issueCertificate(root, publicKey, {
    commonName: 'intermediate',
    serial: serial(),
    ...validity,
    extendedUsages: ['serverAuth'],
    authority: { pathLength: 0, constraints: hostConstraints(hosts) },
  })
  const leafKey = makeKey()
  const leafPublicKey = createPublicKey(leafKey)
  const chain = [intermediate, root.certificate]
  return {
    root: root.certificate,
    intermediate,
    leafKeyPem: leafKey.export({ type: 'pkcs8', format: 'pem' }),
    leaf: (host: string) =>
      new X509Certificate(
        mintLeaf({
          host,
          publicKey: leafPublicKey,
          authority: { key, chain },
          ...validity,
          serial: serial(),
        }),
      ),
    /** What a stolen intermediate key could sign. */
    leafNaming: (names: readonly SubjectName[]) =>
      issueCertificate({ key, certificate: intermediate }, leafPublicKey, {
        names,
        serial: serial(),
        ...validity,
        extendedUsages: ['serverAuth'],
      }),
    rootPem: certificatesToPem([root.certificate]),
    intermediatePem: certificatesToPem([intermediate]),
  }
}
