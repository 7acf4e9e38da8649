import { Type, type Static } from 'typebox'
import type { ScopedService, ServiceAddress } from '#model/scope'
import { checkAddress, normalizeHost } from './address.ts'
import { at, malformed, type FieldError } from './field-error.ts'
import { ageColumn, coreGroup, defineKind, messageColumn, stateColumn, type ObjectOf } from './kind.ts'
import { closed, flag, list, stringMap, text, why } from './schema.ts'
import { statusOf } from './status.ts'

const address = closed(
  {
    address: text('DNS name (a leading *. stands for one label) or IP address.'),
    port: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 65535, description: 'Port; absent: 443 and 80.' }),
    ),
    tags: Type.Optional(list(text('A tag.'), 'Tags, for information.')),
    aliases: Type.Optional(list(text('A name or IP address.'), 'Other names of the same endpoint.')),
    networkNames: Type.Optional(list(text('A network.'), 'Networks on which it can be reached.')),
    networkPrefixes: Type.Optional(list(text('A CIDR prefix.'), 'Networks on which it can be reached.')),
    wildcardReason: Type.Optional(
      why('Why a wildcard over a suffix that strangers share is safe here. An extension of Tideway.'),
    ),
  },
  'One endpoint.',
)

const spec = closed(
  {
    labels: stringMap('Labels by which bindings and egress rules select this Service.'),
    addresses: Type.Optional(list(address, 'Endpoints.')),
    external: Type.Optional(flag('Outside of the managed network, such as a cloud API.')),
    caBundle: Type.Optional(
      text('PEM of the CAs that sign this Service, in place of the system roots. An extension of Tideway.', {
        maxLength: 262_144,
      }),
    ),
    signing: Type.Optional(
      closed(
        {
          service: Type.Optional(text('SigV4 service name, such as s3.')),
          region: Type.Optional(text('SigV4 region, such as us-east-1.')),
        },
        'SigV4 scope where the host name does not tell it. An extension of Tideway.',
      ),
    ),
  },
  'Endpoints that workloads connect to.',
)

const status = statusOf(['PENDING', 'OK', 'FAILED'], {})

export type ServiceSpec = Static<typeof spec>
export type Service = ObjectOf<'Service', ServiceSpec, Static<typeof status>>

/** Addresses and their aliases, flattened and lower-case. */
export function serviceAddresses({ addresses = [] }: Pick<ServiceSpec, 'addresses'>): ServiceAddress[] {
  return addresses.flatMap(({ address, aliases = [], port }) =>
    [address, ...aliases].map((name) => ({
      host: normalizeHost(name),
      ...(port !== undefined && { port }),
    })),
  )
}

/** What a daemon needs to know of a Service. */
export function scopedService({ metadata, spec }: Service): ScopedService {
  return {
    name: metadata.name,
    addresses: serviceAddresses(spec),
    ...(spec.caBundle !== undefined && { caBundlePem: spec.caBundle }),
    ...(spec.signing && { signing: spec.signing }),
  }
}

function checkPem(pem: string | undefined): FieldError[] {
  const certificates = /^\s*(-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*)+$/
  if (pem === undefined || certificates.test(pem)) return []
  return [malformed('spec.caBundle', 'must be certificates in PEM')]
}

export const service = defineKind({
  kind: 'Service',
  group: coreGroup,
  plural: 'services',
  shortNames: ['svc'],
  description: 'Endpoints that workloads connect to, selected by labels.',
  spec,
  status,
  columns: [
    { name: 'ADDRESSES', path: '.spec.addresses[*].address', type: 'string', description: 'Endpoints.' },
    {
      name: 'EXTERNAL',
      path: '.spec.external',
      type: 'string',
      description: 'Outside of the managed network.',
    },
    stateColumn,
    ageColumn,
    messageColumn,
  ],
  selectableFields: ['spec.external'],
  check: ({ addresses = [], caBundle }) => [
    ...addresses.flatMap(({ address, aliases = [], wildcardReason }, index) => [
      ...checkAddress(at('spec.addresses', index, 'address'), address, wildcardReason),
      ...aliases.flatMap((alias, position) =>
        checkAddress(at('spec.addresses', index, 'aliases', position), alias, wildcardReason),
      ),
    ]),
    ...checkPem(caBundle),
  ],
  unsupported: ({ addresses = [], external }) => [
    ...addresses.flatMap(({ networkNames, networkPrefixes }, index) => [
      ...(networkNames ? [at('spec.addresses', index, 'networkNames')] : []),
      ...(networkPrefixes ? [at('spec.addresses', index, 'networkPrefixes')] : []),
    ]),
    ...(external === false ? ['spec.external'] : []),
  ],
})
