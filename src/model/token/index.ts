/**
 * JWT-SVIDs and the keys that sign them, as values: one profile (design section 2) that AWS, Google Cloud,
 * Azure and Ceph accept. It keeps no key and does not decide who gets a token (`server/issuer` does).
 */
export { registeredClaims, signJwtSvid, verifyJwt, type JwtSvid, type SigningKey } from './jwt-svid.ts'
export { keyId, publicJwk, type PublicJwk } from './jwk.ts'
