/**
 * X.509 certificates and PKCS#10 requests as values: roots, name-constrained intermediates, SVIDs, and the
 * leaves of intercepted hosts. Keys, serial numbers and times come in as arguments. It keeps no key, decides
 * nobody's names, and leaves the verification of chains to the TLS stack.
 */
export {
  createRootCertificate,
  createSelfSignedCertificate,
  issueCertificate,
  type CertificateProfile,
  type Signer,
} from './certificate.ts'
export { mintLeaf } from './leaf.ts'
export { hostConstraints, type NameConstraints, type Subtree } from './name-constraints.ts'
export { hostName, isDnsName, isIpAddress, type SubjectName } from './names.ts'
export { certificatesToPem, parseCertificate, parsePemCertificates } from './pem.ts'
export { createCertificateRequest, parseCertificateRequest } from './request.ts'
export { spiffeIdOf } from './spiffe.ts'
