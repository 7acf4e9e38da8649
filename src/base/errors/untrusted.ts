const codes: ReadonlySet<unknown> = new Set([
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
])

/** Whether Node's TLS says by an error that nobody who is trusted has signed the other side's certificate. */
export function isUntrusted(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && codes.has(error.code)
}
