import { Fault } from '#base/errors'
import {
  credentialBinding,
  workloadCredential,
  type CredentialBinding,
  type WorkloadCredential,
} from './credential-binding.ts'
import { credentialSource, type CredentialSource } from './credential-source.ts'
import { daemon, joinToken, verifier, type Daemon, type JoinToken, type Verifier } from './daemon.ts'
import type { KindDefinition } from './kind.ts'
import { event, type Event } from './event.ts'
import { namespace, type Namespace } from './namespace.ts'
import { defaultNamespace } from './object-meta.ts'
import { identityProvider, type IdentityProvider } from './identity-provider.ts'
import { oidcClient, type OIDCClient } from './oidc-client.ts'
import {
  clusterRole,
  clusterRoleBinding,
  role,
  roleBinding,
  type ClusterRole,
  type ClusterRoleBinding,
  type Role,
  type RoleBinding,
} from './rbac.ts'
import { secret, type Secret } from './secret.ts'
import { serviceAccount, type ServiceAccount } from './service-account.ts'
import { service, type Service } from './service.ts'
import { workloadIdentity, type WorkloadIdentity } from './workload-identity.ts'

/** The stored object of each kind. */
export interface ResourceKinds {
  WorkloadIdentity: WorkloadIdentity
  Service: Service
  CredentialSource: CredentialSource
  CredentialBinding: CredentialBinding
  WorkloadCredential: WorkloadCredential
  Daemon: Daemon
  Verifier: Verifier
  JoinToken: JoinToken
  Secret: Secret
  Namespace: Namespace
  Event: Event
  ServiceAccount: ServiceAccount
  Role: Role
  RoleBinding: RoleBinding
  ClusterRole: ClusterRole
  ClusterRoleBinding: ClusterRoleBinding
  IdentityProvider: IdentityProvider
  OIDCClient: OIDCClient
}

export type Kind = keyof ResourceKinds
export type ResourceOf<K extends Kind> = ResourceKinds[K]
export type StatusOf<K extends Kind> = NonNullable<ResourceOf<K>['status']>
export type Resource = ResourceKinds[Kind]

const definitions: { readonly [K in Kind]: KindDefinition<K> } = {
  WorkloadIdentity: workloadIdentity,
  Service: service,
  CredentialSource: credentialSource,
  CredentialBinding: credentialBinding,
  WorkloadCredential: workloadCredential,
  Daemon: daemon,
  Verifier: verifier,
  JoinToken: joinToken,
  Secret: secret,
  Namespace: namespace,
  Event: event,
  ServiceAccount: serviceAccount,
  Role: role,
  RoleBinding: roleBinding,
  ClusterRole: clusterRole,
  ClusterRoleBinding: clusterRoleBinding,
  IdentityProvider: identityProvider,
  OIDCClient: oidcClient,
}

/** Every kind, in the order in which `ctl get all` shows them. */
export const kinds: readonly KindDefinition<Kind>[] = Object.values(definitions)

export function definitionOf<K extends Kind>(kind: K): KindDefinition<K> {
  return definitions[kind]
}

/** The namespace that an object lies in, the default one unless it says; '' for what lies in none. */
export function namespaceOf(object: {
  readonly kind: Kind
  readonly metadata: { readonly namespace?: string | undefined }
}): string {
  return definitions[object.kind].scope === 'Cluster' ? '' : (object.metadata.namespace ?? defaultNamespace)
}

const byName = new Map<string, KindDefinition<Kind>>(
  kinds.flatMap((definition) => {
    const { singular, plural, shortNames, aliases, group, version } = definition
    return [singular, plural, ...shortNames, ...aliases].flatMap((name) => [
      [name, definition] as const,
      ...(group === ''
        ? []
        : ([
            [`${name}.${group}`, definition],
            [`${name}.${version}.${group}`, definition],
          ] as const)),
    ])
  }),
)

/**
 * The kind meant by singular, plural, short name or alias, in any case, alone or with its group.
 * @throws Fault KIND_UNKNOWN
 */
export function findKind(text: string): KindDefinition<Kind> {
  const found = byName.get(text.toLowerCase())
  if (found) return found
  const message = `the server doesn't have a resource type ${JSON.stringify(text.slice(0, 100))}`
  throw new Fault('KIND_UNKNOWN', message, { publicText: message })
}

/** The kind served at `/apis/{group}/{version}/.../{plural}`; the plural in any understood spelling. */
export function kindAt(group: string, version: string, plural: string): KindDefinition<Kind> | undefined {
  const found = byName.get(plural.toLowerCase())
  return found?.group === group && found.version === version ? found : undefined
}

/** The kind of an object by its own words. */
export function kindNamed(apiVersion: unknown, kind: unknown): KindDefinition<Kind> | undefined {
  return kinds.find((definition) => definition.kind === kind && definition.apiVersion === apiVersion)
}
