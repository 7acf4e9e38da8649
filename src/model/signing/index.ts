/**
 * What it takes to sign an AWS request on the wire: Signature Version 4 and 4A, the scope that a host name implies,
 * what to do about the body and the signatures within it, and which calls hand out credentials. Pure: it sees heads
 * and hashes, never a socket. It does not decide whether a workload may have its request signed; `#model/policy` does.
 */
export { authenticationHeaders, signSigV4 } from './sigv4.ts'
export type { SignedRequest, SigningScope, UnsignedRequest } from './sigv4.ts'
export type { NameValue } from './canonical.ts'
export { deriveSigningScope } from './endpoint.ts'
export { openChunkSignatures, openEventSignatures } from './body-signatures.ts'
export type { ChunkSignatures, EventSignatures, SeedSignature } from './body-signatures.ts'
export { askedRegionSet } from './presigned.ts'
export { decidePayload, emptyPayloadHash, unsignedPayload } from './payload.ts'
export type { PayloadDecision, StreamingMode } from './payload.ts'
export { isCredentialIssuance, issuanceNeedsBody } from './issuance.ts'
export type { IssuanceRequest } from './issuance.ts'
