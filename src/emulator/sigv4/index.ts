/**
 * Verifies AWS Signature Version 4 and 4A as a service would: header and presigned form, and the signature chain of
 * aws-chunked bodies. It stands on the AWS SDK's signer and shares nothing with Tideway's own, so that one can
 * judge the other. It does not know keys, principals or clocks: whose secret, which scope and how old a request
 * may be is decided by the caller.
 */
export { readClaim } from './claim.ts'
export type { ClaimReading, SignatureClaim } from './claim.ts'
export { encodeRfc3986, recompute, sameText } from './recompute.ts'
export type { PathRule, Recomputed } from './recompute.ts'
export { decodeAwsChunked, sha256, streamingModes } from './aws-chunked.ts'
export type { ChunkedReading, StreamingMode } from './aws-chunked.ts'
export { headerValue, parseQuery, splitTarget } from './wire-request.ts'
export type { WireRequest } from './wire-request.ts'
