/**
 * The resource kinds: one schema each, which is JSON Schema and static type at once, with their rules, names
 * and columns. Pure: it neither stores objects nor decides what they cause. The daemon never imports it.
 */
export { isIpAddress } from './address.ts'
export {
  bindingSpecOf,
  type CredentialBinding,
  type CredentialBindingSpec,
  type WorkloadCredential,
} from './credential-binding.ts'
export {
  sourceType,
  type AwsSource,
  type CredentialSource,
  type CredentialSourceSpec,
} from './credential-source.ts'
export {
  lookAtDaemon,
  seeItsLog,
  unknownHealth,
  allowsJoinTokens,
  verifierMethodOf,
  type Daemon,
  type DaemonSpec,
  type JoinToken,
  type Verifier,
} from './daemon.ts'
export { readinessOf, withReadiness } from './daemon-readiness.ts'
export {
  fieldErrorsOf,
  forbidden,
  invalid,
  invalidResource,
  malformed,
  notSupported,
  required,
  type FieldError,
} from './field-error.ts'
export { authGroup, coreGroup, nameColumn, type Column, type Draft, type KindDefinition } from './kind.ts'
export {
  isAsJudged,
  nextStatus,
  reasonOfState,
  withFirstStatus,
  type DesiredStatus,
  type Judgement,
} from './judged-status.ts'
export {
  githubLoginOf,
  isSafeIssuer,
  oidcTrustOf,
  type GitHubLogin,
  type IdentityProvider,
  type OidcTrust,
} from './identity-provider.ts'
export { duplicateItems } from './list-keys.ts'
export { allowsRedirect, type OIDCClient } from './oidc-client.ts'
export type { Event } from './event.ts'
export { namePrefixesOf, namesakesOf, olderNamesakeOf, type Namesake } from './name-prefixes.ts'
export type { Namespace } from './namespace.ts'
export { maxDepth, nestsTooDeep } from './nesting.ts'
export {
  defaultNamespace,
  markErrors,
  withoutEmpty,
  type ClusterObjectMeta,
  type DraftMeta,
  type NameForm,
  type ObjectMeta,
  type OwnerReference,
} from './object-meta.ts'
export {
  definitionOf,
  findKind,
  kindAt,
  kindNamed,
  kinds,
  namespaceOf,
  type Kind,
  type Resource,
  type ResourceOf,
  type StatusOf,
} from './registry.ts'
export { reasons, reportedTypes, type Needs, type Reason } from './reasons.ts'
export type { ClusterRole, ClusterRoleBinding, Role, RoleBinding } from './rbac.ts'
export { parseSeconds } from './schema.ts'
export { inOneLine, type Secret } from './secret.ts'
export type { ServiceAccount } from './service-account.ts'
export {
  assumableByAnyLocalUser,
  normalizeSelectors,
  unfilterableSelectors,
  type Selector,
} from './selector.ts'
export { scopedService, serviceAddresses, type Service, type ServiceSpec } from './service.ts'
export {
  formatSeconds,
  formatTime,
  withCondition,
  withoutCondition,
  type CommonStatus,
  type Condition,
} from './status.ts'
export { withoutUnknownFields } from './unknown-fields.ts'
export {
  expectResource,
  fieldErrors,
  parseResource,
  resourceWarnings,
  subjectOf,
  unsupportedFields,
  withoutNulls,
  type Parsed,
  type ResourceDraft,
} from './validate.ts'
export {
  scopeOf,
  type WorkloadIdentity,
  type WorkloadIdentitySpec,
  type WorkloadScope,
} from './workload-identity.ts'
