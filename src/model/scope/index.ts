/**
 * What one daemon may know: the identities, services, bindings and credentials in its scope, as plain values.
 * The server computes it, the wire carries it, the daemon works from it; nothing here depends on the resource
 * kinds, which the daemon never sees.
 */
export type {
  CaptureLevel,
  Scope,
  ScopedBinding,
  ScopedCredential,
  ScopedIdentity,
  ScopedService,
  ScopeKeys,
  ScopeUpdate,
  SelectorMap,
  ServiceAddress,
} from './scope.ts'
export { applyScopeUpdate, captureLevels, credentialKey, emptyScope, satisfiesCapture } from './scope.ts'
