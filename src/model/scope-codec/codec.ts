import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { Fault } from '#base/errors'
import { Secret } from '#base/secret'
import { isCredentialHeader, isHeaderValue, type Credential } from '#model/credential'
import { parseSpiffeId } from '#model/identity'
import {
  ScopeUpdateSchema,
  type ScopedCredentialSchema,
  type ScopeUpdate as ScopeUpdateMessage,
} from '#wire/proto'
import {
  captureLevels,
  type CaptureLevel,
  type ScopedBinding,
  type ScopedCredential,
  type ScopedIdentity,
  type ScopedService,
  type ScopeUpdate,
} from '#model/scope'

/** The wire form of an update. Secrets leave their wrapper here: the message must go nowhere but the mTLS stream. */
export function encodeScopeUpdate({ revision, reset, upsert, remove }: ScopeUpdate): ScopeUpdateMessage {
  return create(ScopeUpdateSchema, {
    revision: BigInt(revision),
    reset,
    identities: upsert.identities.map((identity) => ({
      ...identity,
      selectors: identity.selectors.map((selector) => ({
        keys: Object.fromEntries(
          Object.entries(selector).map(([key, values]) => [key, { values: [...values] }]),
        ),
      })),
    })),
    services: upsert.services.map((service) => ({
      name: service.name,
      addresses: service.addresses.map(({ host, port = 0 }) => ({ host, port })),
      caBundlePem: service.caBundlePem ?? '',
      signingService: service.signing?.service ?? '',
      signingRegion: service.signing?.region ?? '',
      allowPlainText: service.allowPlainText ?? false,
    })),
    bindings: upsert.bindings.map((binding) => ({ ...binding, serviceNames: [...binding.serviceNames] })),
    credentials: upsert.credentials.map(({ spiffeId, sourceName, credential }) => ({
      spiffeId,
      sourceName,
      issuedAtEpochMs: BigInt(credential.issuedAt),
      expiresAtEpochMs: BigInt(credential.expiresAt),
      credential: encodeCredential(credential),
    })),
    removedIdentities: [...remove.identities],
    removedServices: [...remove.services],
    removedBindings: [...remove.bindings],
    removedCredentials: [...remove.credentials],
  })
}

type CredentialOneof = ScopeUpdateMessage['credentials'][number]['credential']

function encodeCredential(
  credential: Credential,
): NonNullable<MessageInitShape<typeof ScopedCredentialSchema>['credential']> {
  switch (credential.kind) {
    case 'aws': {
      const { accessKeyId, secretAccessKey, sessionToken } = credential
      const value = {
        accessKeyId,
        secretAccessKey: secretAccessKey.reveal(),
        sessionToken: sessionToken.reveal(),
      }
      return { case: 'aws', value }
    }
    case 'bearer':
      return { case: 'bearer', value: { token: credential.token.reveal() } }
    case 'basic':
      return {
        case: 'basic',
        value: { username: credential.username, password: credential.password.reveal() },
      }
    default:
      return { case: 'header', value: { name: credential.name, value: credential.value.reveal() } }
  }
}

function parseCaptureLevel(text: string): CaptureLevel {
  const level = captureLevels.find((known) => known === text)
  if (!level) throw new Fault('WIRE_MALFORMED', `unknown capture level ${JSON.stringify(text)}`)
  return level
}

function decodeIdentity(message: ScopeUpdateMessage['identities'][number]): ScopedIdentity {
  return {
    name: message.name,
    spiffeId: parseSpiffeId(message.spiffeId),
    selectors: message.selectors.map(({ keys }) =>
      Object.fromEntries(Object.entries(keys).map(([key, { values }]) => [key, values])),
    ),
    captureAll: message.captureAll,
    intercept: message.intercept,
  }
}

function decodeService(message: ScopeUpdateMessage['services'][number]): ScopedService {
  const { signingService: service, signingRegion: region } = message
  return {
    name: message.name,
    addresses: message.addresses.map(({ host, port }) => (port === 0 ? { host } : { host, port })),
    ...(message.caBundlePem && { caBundlePem: message.caBundlePem }),
    ...(message.allowPlainText && { allowPlainText: true }),
    ...((service || region) && { signing: { ...(service && { service }), ...(region && { region }) } }),
  }
}

function decodeBinding(message: ScopeUpdateMessage['bindings'][number]): ScopedBinding {
  return {
    name: message.name,
    spiffeId: parseSpiffeId(message.spiffeId),
    sourceName: message.sourceName,
    serviceNames: message.serviceNames,
    minimumCapture: parseCaptureLevel(message.minimumCapture),
    allowCredentialIssuance: message.allowCredentialIssuance,
  }
}

/** What this version does not know, or must not send, is left out: the binding then has none and is refused. */
function decodeCredential(message: ScopeUpdateMessage['credentials'][number]): ScopedCredential[] {
  const secret = decodeSecret(message.credential)
  if (!secret) return []
  const life = { issuedAt: Number(message.issuedAtEpochMs), expiresAt: Number(message.expiresAtEpochMs) }
  const { spiffeId, sourceName } = message
  return [{ spiffeId: parseSpiffeId(spiffeId), sourceName, credential: { ...secret, ...life } }]
}

type WithoutLife<T> = T extends Credential ? Omit<T, 'issuedAt' | 'expiresAt'> : never

function decodeSecret(credential: CredentialOneof): WithoutLife<Credential> | undefined {
  switch (credential.case) {
    case 'aws': {
      const { accessKeyId, secretAccessKey, sessionToken } = credential.value
      return {
        kind: 'aws',
        accessKeyId,
        secretAccessKey: Secret.of(secretAccessKey),
        sessionToken: Secret.of(sessionToken),
      }
    }
    case 'bearer': {
      const { token } = credential.value
      return isHeaderValue(token) ? { kind: 'bearer', token: Secret.of(token) } : undefined
    }
    case 'basic': {
      const { username, password } = credential.value
      return username.includes(':') ? undefined : { kind: 'basic', username, password: Secret.of(password) }
    }
    case 'header': {
      const { name, value } = credential.value
      const usable = isCredentialHeader(name) && isHeaderValue(value)
      return usable ? { kind: 'header', name, value: Secret.of(value) } : undefined
    }
    default:
      return undefined
  }
}

/** @throws Fault WIRE_MALFORMED, IDENTITY_INVALID */
export function decodeScopeUpdate(message: ScopeUpdateMessage): ScopeUpdate {
  return {
    revision: Number(message.revision),
    reset: message.reset,
    upsert: {
      identities: message.identities.map(decodeIdentity),
      services: message.services.map(decodeService),
      bindings: message.bindings.map(decodeBinding),
      credentials: message.credentials.flatMap(decodeCredential),
    },
    remove: {
      identities: message.removedIdentities,
      services: message.removedServices,
      bindings: message.removedBindings,
      credentials: message.removedCredentials,
    },
  }
}
