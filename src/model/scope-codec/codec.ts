import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { Fault, toFault } from '#base/errors'
import { Secret } from '#base/secret'
import { isCredentialHeader, isHeaderValue, type Credential } from '#model/credential'
import { parseSpiffeId, type SpiffeId } from '#model/identity'
import {
  ScopeUpdateSchema,
  type ScopedCredentialSchema,
  type ScopeUpdate as ScopeUpdateMessage,
} from '#wire/proto'
import {
  captureLevels,
  credentialKey,
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
  // The kernel's tables have no room for it, and take the whole policy or nothing.
  if (message.addresses.some(({ port }) => port > 65_535))
    throw new Fault('WIRE_MALFORMED', 'a port above 65535')
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

function decodeCredential(message: ScopeUpdateMessage['credentials'][number]): ScopedCredential {
  const secret = decodeSecret(message.credential)
  const life = { issuedAt: Number(message.issuedAtEpochMs), expiresAt: Number(message.expiresAtEpochMs) }
  const { spiffeId, sourceName } = message
  return { spiffeId: parseSpiffeId(spiffeId), sourceName, credential: { ...secret, ...life } }
}

type WithoutLife<T> = T extends Credential ? Omit<T, 'issuedAt' | 'expiresAt'> : never

/** SECURITY: what would frame or route the request that it is sent in is refused, and no part of it is quoted. */
function decodeSecret(credential: CredentialOneof): WithoutLife<Credential> {
  const require = (usable: boolean) => {
    if (!usable) throw new Fault('WIRE_MALFORMED', 'it cannot be sent in a request')
  }
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
      require(isHeaderValue(token))
      return { kind: 'bearer', token: Secret.of(token) }
    }
    case 'basic': {
      const { username, password } = credential.value
      require(!username.includes(':'))
      return { kind: 'basic', username, password: Secret.of(password) }
    }
    case 'header': {
      const { name, value } = credential.value
      require(isCredentialHeader(name) && isHeaderValue(value))
      return { kind: 'header', name, value: Secret.of(value) }
    }
    default:
      throw new Fault('WIRE_MALFORMED', 'unknown kind of credential')
  }
}

type Items = ScopeUpdate['upsert']

/** An item that this version cannot read: of a newer server, which knows more. `key` is as in the scope. */
export interface UnreadItem {
  readonly kind: keyof Items
  readonly key: string
  readonly why: string
}

const nameOf = ({ name }: { name: string }) => name

/**
 * Every removal, and every item that can be read. SECURITY: one that cannot, of a new capture level for one, counts
 * as removed: it keeps nothing else of the update from taking effect, and what was there before it is withdrawn.
 */
export function decodeScopeUpdate(message: ScopeUpdateMessage): {
  readonly update: ScopeUpdate
  readonly unread: readonly UnreadItem[]
} {
  const unread: UnreadItem[] = []
  function read<M, K extends keyof Items>(
    kind: K,
    messages: readonly M[],
    decode: (message: M) => Items[K][number],
    keyOf: (message: M) => string,
  ): Items[K][number][] {
    return messages.flatMap((each) => {
      try {
        return [decode(each)]
      } catch (error) {
        unread.push({ kind, key: keyOf(each), why: toFault(error).message })
        return []
      }
    })
  }
  const upsert: Items = {
    identities: read('identities', message.identities, decodeIdentity, nameOf),
    services: read('services', message.services, decodeService, nameOf),
    bindings: read('bindings', message.bindings, decodeBinding, nameOf),
    credentials: read('credentials', message.credentials, decodeCredential, ({ spiffeId, sourceName }) =>
      // What is no SPIFFE ID is the key of nothing.
      credentialKey(spiffeId as SpiffeId, sourceName),
    ),
  }
  const removed = (kind: keyof Items, named: readonly string[]) => [
    ...named,
    ...unread.filter((item) => item.kind === kind).map(({ key }) => key),
  ]
  const update: ScopeUpdate = {
    revision: Number(message.revision),
    reset: message.reset,
    upsert,
    remove: {
      identities: removed('identities', message.removedIdentities),
      services: removed('services', message.removedServices),
      bindings: removed('bindings', message.removedBindings),
      credentials: removed('credentials', message.removedCredentials),
    },
  }
  return { update, unread }
}
