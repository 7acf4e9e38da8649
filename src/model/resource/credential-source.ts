import { Type, type Static } from 'typebox'
import { isConfidential } from './address.ts'
import { at, forbidden, invalid, type FieldError } from './field-error.ts'
import { ageColumn, coreGroup, defineKind, messageColumn, stateColumn, type ObjectOf } from './kind.ts'
import { closed, list, open, parseSeconds, seconds, text } from './schema.ts'
import { statusOf } from './status.ts'
import { checkExactlyOne } from './workload-identity.ts'

const aws = closed(
  {
    roleArn: text('ARN of the role to assume, such as arn:aws:iam::123456789012:role/my-role.'),
    audience: Type.Optional(
      list(text('An audience.'), 'Audience of the ID token; sts.amazonaws.com unless given.', {
        minItems: 1,
      }),
    ),
    lifetime: Type.Optional(seconds('Session duration to ask for, 900s to 43200s.')),
    idTokenLifetime: Type.Optional(seconds('Lifetime of the ID token, 60s to 3600s; 300s unless given.')),
    idTokenClaims: Type.Optional(open('Further claims of the ID token; registered claims cannot be set.')),
    endpoint: Type.Optional(text('URL of the STS endpoint. An extension of Tideway.')),
    region: Type.Optional(text('Region of the STS endpoint. An extension of Tideway.', { maxLength: 64 })),
  },
  'Temporary AWS credentials by AssumeRoleWithWebIdentity.',
)

const spec = closed(
  {
    aws: Type.Optional(aws),
    kubernetes: Type.Optional(open('A bearer token from a Secret. Accepted, not acted on yet.')),
    gcp: Type.Optional(open('GCP workload identity federation. Accepted, not acted on yet.')),
    azure: Type.Optional(open('Entra federated credentials. Accepted, not acted on yet.')),
    oci: Type.Optional(open('OCI token exchange. Accepted, not acted on yet.')),
    vault: Type.Optional(open('Vault or OpenBao JWT authentication. Accepted, not acted on yet.')),
    oauth2: Type.Optional(
      open('OAuth 2.0 client credentials or authorization code. Accepted, not acted on yet.'),
    ),
    rfc7523: Type.Optional(open('JWT bearer grant. Accepted, not acted on yet.')),
    rfc8693: Type.Optional(open('Token exchange. Accepted, not acted on yet.')),
  },
  'Where a credential comes from: exactly one type.',
)

const status = statusOf(['PENDING', 'AVAILABLE', 'FAILED'], {})

export type CredentialSourceSpec = Static<typeof spec>
export type AwsSource = Static<typeof aws>
export type CredentialSource = ObjectOf<'CredentialSource', CredentialSourceSpec, Static<typeof status>>

export const credentialSourceTypes = Object.keys(spec.properties) as readonly (keyof CredentialSourceSpec)[]

/** Which type a valid source is of. */
export function sourceType(spec: CredentialSourceSpec): keyof CredentialSourceSpec {
  const type = credentialSourceTypes.find((key) => spec[key] !== undefined)
  if (!type) throw new TypeError('a credential source without a type is invalid')
  return type
}

// RFC 7519 section 4.1: what the issuer alone says about a token (security rule 18).
const registeredClaims = new Set(['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti'])

function checkRange(path: string, duration: string | undefined, min: number, max: number): FieldError[] {
  if (duration === undefined) return []
  const value = parseSeconds(duration)
  return value >= min && value <= max ? [] : [invalid(path, duration, `must be between ${min}s and ${max}s`)]
}

function checkEndpoint(path: string, endpoint: string | undefined): FieldError[] {
  if (endpoint === undefined) return []
  const url = URL.parse(endpoint)
  if (!url || url.username !== '' || url.search !== '' || url.hash !== '') {
    return [invalid(path, endpoint, 'must be a URL without user, query and fragment')]
  }
  // SECURITY: whoever reads the ID token on the way can assume the role in the workload's place.
  if (isConfidential(url)) return []
  return [invalid(path, endpoint, 'must be an https URL (http is for loopback only)')]
}

function checkAws(aws: AwsSource): FieldError[] {
  const path = 'spec.aws'
  const { roleArn, region, idTokenClaims = {} } = aws
  return [
    // The account is empty or a tenant's name on other implementations of STS, such as Ceph's.
    ...(/^arn:[a-z0-9-]+:iam::[^:\s]*:role\/[\w+=,.@/-]+$/.test(roleArn)
      ? []
      : [invalid(at(path, 'roleArn'), roleArn, 'must be the ARN of an IAM role')]),
    ...checkRange(at(path, 'lifetime'), aws.lifetime, 900, 43_200),
    ...checkRange(at(path, 'idTokenLifetime'), aws.idTokenLifetime, 60, 3600),
    ...Object.keys(idTokenClaims)
      .filter((claim) => registeredClaims.has(claim))
      .map((claim) => forbidden(at(path, 'idTokenClaims', claim), 'registered claims are set by the issuer')),
    ...checkEndpoint(at(path, 'endpoint'), aws.endpoint),
    ...(region === undefined || /^[a-z0-9-]+$/.test(region)
      ? []
      : [invalid(at(path, 'region'), region, 'must be the name of a region such as us-east-1')]),
  ]
}

export const credentialSource = defineKind({
  kind: 'CredentialSource',
  group: coreGroup,
  plural: 'credentialsources',
  shortNames: ['cs'],
  description: 'Where and how a credential is obtained.',
  spec,
  status,
  columns: [
    stateColumn,
    {
      name: 'TYPE',
      says: ({ spec }: { spec: CredentialSourceSpec }) => credentialSourceTypes.find((type) => spec[type]),
      type: 'string',
      description: 'Where the credential comes from.',
    },
    ageColumn,
    {
      name: 'ROLE',
      path: '.spec.aws.roleArn',
      type: 'string',
      description: 'The role that is assumed.',
      wide: true,
    },
    messageColumn,
  ],
  check: (spec) => [
    ...checkExactlyOne('spec', spec, credentialSourceTypes),
    ...(spec.aws ? checkAws(spec.aws) : []),
  ],
  unsupported: (spec) => [
    ...credentialSourceTypes
      .filter((type) => type !== 'aws' && spec[type] !== undefined)
      .map((type) => `spec.${type}`),
    // One token has one audience (design section 2).
    ...(spec.aws?.audience?.slice(1).map((_, index) => at('spec.aws.audience', index + 1)) ?? []),
  ],
})
