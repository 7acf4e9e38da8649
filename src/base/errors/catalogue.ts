/** What sort of failure a code is; protocols map kinds to their own statuses and exit codes. */
export type FaultKind =
  | 'invalid' // the caller sent something wrong: it must change before a retry can help
  | 'unauthenticated' // nobody we know
  | 'forbidden' // known, but may not
  | 'not-found'
  | 'conflict' // exists already, or changed meanwhile
  | 'exhausted' // a bound was reached
  | 'unavailable' // may work later without any change
  | 'unsupported' // this machine or version cannot
  | 'internal' // a defect of ours

/**
 * Every code there is, with its kind and the safe text a remote caller sees when the thrower gave none.
 * Adding one means adding its row to docs/errors.md (a test holds both together).
 */
export const faultCatalogue = {
  // base
  INTERNAL: { kind: 'internal', publicText: 'internal error' },
  SETTING_INVALID: { kind: 'invalid', publicText: 'a setting is invalid' },
  PLATFORM_UNSUPPORTED: { kind: 'unsupported', publicText: 'not supported on this machine' },
  SYSCALL_FAILED: { kind: 'internal', publicText: 'a system call failed' },
  // wire
  WIRE_MALFORMED: { kind: 'invalid', publicText: 'malformed message' },
  WIRE_TOO_LARGE: { kind: 'invalid', publicText: 'message too large' },
  BUFFERS_EXHAUSTED: { kind: 'unavailable', publicText: 'too much is held at once, try again' },
  // model
  IDENTITY_INVALID: { kind: 'invalid', publicText: 'invalid SPIFFE ID' },
  SELECTOR_INVALID: { kind: 'invalid', publicText: 'invalid selector' },
  TOKEN_INVALID: { kind: 'unauthenticated', publicText: 'invalid token' },
  CERTIFICATE_INVALID: { kind: 'invalid', publicText: 'invalid certificate' },
  SIGNING_UNSUPPORTED: { kind: 'unsupported', publicText: 'this request cannot be signed' },
  // resource API
  RESOURCE_INVALID: { kind: 'invalid', publicText: 'the resource is invalid' },
  RESOURCE_TOO_LARGE: { kind: 'invalid', publicText: 'the resource is too large' },
  RESOURCE_NOT_FOUND: { kind: 'not-found', publicText: 'not found' },
  RESOURCE_EXISTS: { kind: 'conflict', publicText: 'already exists' },
  RESOURCE_CONFLICT: { kind: 'conflict', publicText: 'the object has been modified' },
  KIND_UNKNOWN: { kind: 'not-found', publicText: 'the server does not have a resource of that type' },
  API_UNAUTHENTICATED: { kind: 'unauthenticated', publicText: 'Unauthorized' },
  API_FORBIDDEN: { kind: 'forbidden', publicText: 'Forbidden' },
  SERVER_UNREACHABLE: { kind: 'unavailable', publicText: 'the server cannot be reached' },
  CONTEXT_MISSING: { kind: 'invalid', publicText: 'no context is set' },
  // server
  STORE_CORRUPT: { kind: 'internal', publicText: 'the store is damaged' },
  STORE_UNAVAILABLE: { kind: 'unavailable', publicText: 'the store is unavailable' },
  STORE_REVISION_GONE: { kind: 'conflict', publicText: 'the requested revision is no longer kept' },
  BACKUP_INVALID: { kind: 'invalid', publicText: 'the backup is invalid' },
  SEALING_KEY_MISSING: { kind: 'invalid', publicText: 'the sealing key is missing' },
  SEALING_KEY_WRONG: { kind: 'invalid', publicText: 'the sealing key is wrong' },
  KEY_NOT_FOUND: { kind: 'not-found', publicText: 'no such key' },
  EXCHANGE_FAILED: { kind: 'unavailable', publicText: 'the cloud refused the exchange' },
  JOIN_REFUSED: { kind: 'unauthenticated', publicText: 'the join token was refused' },
  NODE_REFUSED: { kind: 'forbidden', publicText: 'the daemon is not authorised' },
  RATE_LIMITED: { kind: 'exhausted', publicText: 'too many requests, try again later' },
  SCOPE_REFUSED: { kind: 'forbidden', publicText: 'outside the scope of this daemon' },
  // daemon
  CAPTURE_UNAVAILABLE: { kind: 'unsupported', publicText: 'this capture level is not available' },
  CAPTURE_BUSY: { kind: 'conflict', publicText: 'another daemon captures here' },
  ATTESTATION_FAILED: { kind: 'forbidden', publicText: 'the process could not be attested' },
  UPSTREAM_UNVERIFIED: { kind: 'unavailable', publicText: 'the upstream certificate was refused' },
  UPSTREAM_UNREACHABLE: { kind: 'unavailable', publicText: 'the upstream cannot be reached' },
  CREDENTIAL_UNAVAILABLE: { kind: 'unavailable', publicText: 'no credential is available yet' },
  BINDING_AMBIGUOUS: { kind: 'conflict', publicText: 'several credential bindings name this host' },
  CAPTURE_INSUFFICIENT: {
    kind: 'forbidden',
    publicText: 'the binding demands a stronger capture level than this connection has',
  },
  REQUEST_REFUSED: { kind: 'forbidden', publicText: 'the request was refused' },
  AUDIT_UNAVAILABLE: { kind: 'unavailable', publicText: 'the audit record could not be written' },
  DAEMON_UNREACHABLE: { kind: 'unavailable', publicText: 'the daemon cannot be reached' },
} as const satisfies Record<string, { kind: FaultKind; publicText: string }>

export type FaultCode = keyof typeof faultCatalogue
