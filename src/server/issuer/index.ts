/**
 * What the control plane signs: federation tokens, with their published and rotated keys, X.509-SVIDs, the
 * server's own certificate, and each daemon's intercept root with its name-constrained intermediates.
 * Private keys stay in custody. Who may have what is decided by the callers (`server/enrollment`,
 * `server/exchange`), except that a token never carries a claim that is the issuer's to set.
 */
export { openAccountKeys } from './account-keys.ts'
export type { CertificateAuthority, IssuerKeyInfo, KeyRotation, TokenIssuer } from './ports.ts'
export { openCertificateAuthority } from './authority.ts'
export { issuerFiles, issuerRoutes } from './routes.ts'
export {
  certificateHash,
  openServerCertificate,
  type ServerCertificate,
  type TlsMaterial,
} from './server-certificate.ts'
export type { SigningKeys } from './signing-keys.ts'
export { openTokenIssuer, type RunningTokenIssuer, type TokenIssuerSettings } from './token-issuer.ts'
