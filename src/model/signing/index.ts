/**
 * What it takes to sign an AWS request on the wire: Signature Version 4, the scope that a host name implies, what
 * to do about the body, and which calls hand out credentials. Pure: it sees heads and hashes, never a socket.
 * It does not decide whether a workload may have its request signed; `#model/policy` does.
 */
export { authenticationHeaders, signSigV4 } from './sigv4.ts'
export type { SignedRequest, SigningScope, UnsignedRequest } from './sigv4.ts'
export type { NameValue } from './canonical.ts'
export { deriveSigningScope } from './endpoint.ts'
export { decidePayload, emptyPayloadHash, unsignedPayload } from './payload.ts'
export type { PayloadDecision } from './payload.ts'
export { isCredentialIssuance, issuanceNeedsBody } from './issuance.ts'
export type { IssuanceRequest } from './issuance.ts'
