import { create } from '@bufbuild/protobuf'
import { Fault } from '#base/errors'
import { Secret } from '#base/secret'
import { parseSpiffeId } from '#model/identity'
import { ScopeUpdateSchema, type ScopeUpdate as ScopeUpdateMessage } from '#wire/proto'
import {
  captureLevels,
  type CaptureLevel,
  type ScopedBinding,
  type ScopedCredential,
  type ScopedIdentity,
  type ScopedService,
  type ScopeUpdate,
} from './scope.ts'

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
    })),
    bindings: upsert.bindings.map((binding) => ({ ...binding, serviceNames: [...binding.serviceNames] })),
    credentials: upsert.credentials.map(({ spiffeId, sourceName, credential }) => ({
      spiffeId,
      sourceName,
      issuedAtEpochMs: BigInt(credential.issuedAt),
      expiresAtEpochMs: BigInt(credential.expiresAt),
      credential: {
        case: credential.kind,
        value: {
          accessKeyId: credential.accessKeyId,
          secretAccessKey: credential.secretAccessKey.reveal(),
          sessionToken: credential.sessionToken.reveal(),
        },
      },
    })),
    removedIdentities: [...remove.identities],
    removedServices: [...remove.services],
    removedBindings: [...remove.bindings],
    removedCredentials: [...remove.credentials],
  })
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

/** Credentials of a kind this version does not know are left out: the binding then has none and is refused. */
function decodeCredential(message: ScopeUpdateMessage['credentials'][number]): ScopedCredential[] {
  if (message.credential.case !== 'aws') return []
  const { accessKeyId, secretAccessKey, sessionToken } = message.credential.value
  return [
    {
      spiffeId: parseSpiffeId(message.spiffeId),
      sourceName: message.sourceName,
      credential: {
        kind: 'aws',
        accessKeyId,
        secretAccessKey: Secret.of(secretAccessKey),
        sessionToken: Secret.of(sessionToken),
        issuedAt: Number(message.issuedAtEpochMs),
        expiresAt: Number(message.expiresAtEpochMs),
      },
    },
  ]
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
