import { Type, type Static } from 'typebox'
import { isConfidential } from './address.ts'
import { at, forbidden, malformed, type FieldError } from './field-error.ts'
import { ageColumn, coreGroup, defineKind, messageColumn, stateColumn, type ObjectOf } from './kind.ts'
import { choice, closed, list, open, stringMap, text } from './schema.ts'
import { statusOf } from './status.ts'
import { checkExactlyOne } from './workload-identity.ts'

export const signingAlgorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
] as const

const clientSecret = Type.Optional(
  Type.String({
    maxLength: 4096,
    writeOnly: true,
    description: 'Accepted for the sake of existing manifests, and dropped: nobody here needs it.',
  }),
)

const prefix = (of: string) =>
  Type.Optional(
    Type.String({
      maxLength: 253,
      description: `Put before every ${of}; the name of this object and a colon unless given.`,
    }),
  )

const oidc = closed(
  {
    issuer: text('Issuer URL, exactly as it stands in the `iss` of its tokens; https, or http on loopback.'),
    audiences: list(text('A client ID.'), 'Tokens are accepted when their `aud` holds one of these.', {
      minItems: 1,
    }),
    usernameClaim: Type.Optional(text('Claim that is the user name; sub unless given.')),
    usernamePrefix: prefix('user name'),
    groupsClaim: Type.Optional(text('Claim that lists groups; none unless given.')),
    groupsPrefix: prefix('group'),
    requiredClaims: Type.Optional(stringMap('Claims that a token must have, with these values.')),
    signingAlgorithms: Type.Optional(
      list(
        choice([...signingAlgorithms], 'A JWS algorithm.'),
        'Algorithms that are accepted; RS256 and ES256 unless given.',
        {
          minItems: 1,
        },
      ),
    ),
    caBundle: Type.Optional(
      text('PEM of the CAs that sign the certificate of the issuer, beside the public ones.', {
        maxLength: 262_144,
      }),
    ),
  },
  'Any provider of OpenID Connect. An extension of Tideway.',
)

const methods = {
  oidc: Type.Optional(oidc),
  google: Type.Optional(
    closed(
      {
        clientID: text('Client ID.'),
        clientSecret,
        requiredHostedDomains: list(text('A domain.'), 'Workspace domains whose users are let in.', {
          minItems: 1,
        }),
      },
      'Google, for the users of some Workspace domains.',
    ),
  ),
  github: Type.Optional(
    closed(
      {
        clientID: text('Client ID of an OAuth app.'),
        clientSecret,
        clientSecretRef: Type.Optional(
          closed(
            { name: text('Name of a Secret in riptides-system.'), key: text('Key in the Secret.') },
            'Where the client secret of the OAuth app is. An extension of Tideway.',
          ),
        ),
        requiredOrgs: list(
          closed(
            {
              name: text('Name of the organisation.'),
              teams: Type.Optional(list(text('Slug or name of a team.'), 'Only members of these teams.')),
            },
            'An organisation.',
          ),
          'Organisations whose members are let in.',
          { minItems: 1 },
        ),
        baseURL: Type.Optional(
          text(
            'URL of a GitHub Enterprise Server; https://github.com unless given. An extension of Tideway.',
          ),
        ),
        caBundle: Type.Optional(
          text('PEM of the CAs that sign its certificate, beside the public ones. An extension of Tideway.', {
            maxLength: 262_144,
          }),
        ),
      },
      'GitHub, for the members of some organisations: the server logs them in, for GitHub gives no ID tokens.',
    ),
  ),
  bitbucket: Type.Optional(
    closed({ clientID: text('Client ID.'), clientSecret }, 'Bitbucket. Accepted, not acted on yet.'),
  ),
  static: Type.Optional(open('A user without a provider, for development. Accepted, not acted on yet.')),
}
const methodNames = Object.keys(methods) as (keyof typeof methods)[]

const spec = closed(
  { name: text('Name that people see when they log in.'), ...methods },
  'Who users are: exactly one provider.',
)

const status = statusOf(['PENDING', 'AVAILABLE', 'FAILED'], {})

export type IdentityProviderSpec = Static<typeof spec>
export type IdentityProvider = ObjectOf<'IdentityProvider', IdentityProviderSpec, Static<typeof status>>

/** Whether the issuer may be asked: over HTTPS, or within this machine. */
export function isSafeIssuer(issuer: string): boolean {
  const url = URL.parse(issuer)
  if (!url || url.search !== '' || url.hash !== '' || url.username !== '' || url.password !== '') return false
  return isConfidential(url)
}

// SECURITY: names that begin so are the server's own; a provider must not give them.
const reserved = 'system:'

const checkCaBundle = (path: string, caBundle: string | undefined): FieldError[] =>
  caBundle === undefined || caBundle.includes('-----BEGIN CERTIFICATE-----')
    ? []
    : [malformed(at(path, 'caBundle'), 'must be certificates in PEM')]

function checkGitHub({ baseURL, caBundle }: NonNullable<IdentityProviderSpec['github']>): FieldError[] {
  return [
    ...(baseURL === undefined || isSafeIssuer(baseURL)
      ? []
      : [malformed('spec.github.baseURL', 'must be an https:// URL without query, or http:// on loopback')]),
    ...checkCaBundle('spec.github', caBundle),
  ]
}

function checkOidc({ issuer, usernamePrefix, groupsPrefix, caBundle }: Static<typeof oidc>): FieldError[] {
  const prefixes = { usernamePrefix, groupsPrefix }
  return [
    ...(isSafeIssuer(issuer)
      ? []
      : [malformed('spec.oidc.issuer', 'must be an https:// URL without query, or http:// on loopback')]),
    ...Object.entries(prefixes).flatMap(([name, value]) =>
      value?.startsWith(reserved)
        ? [forbidden(at('spec.oidc', name), `names that begin with ${reserved} are the server's own`)]
        : [],
    ),
    ...checkCaBundle('spec.oidc', caBundle),
  ]
}

export const identityProvider = defineKind({
  kind: 'IdentityProvider',
  group: coreGroup,
  plural: 'identityproviders',
  shortNames: ['idp'],
  description: 'An external provider whose users may log in and use the resource API.',
  categories: ['tideway'],
  spec,
  status,
  columns: [
    { name: 'ISSUER', path: '.spec.oidc.issuer', type: 'string', description: 'Issuer of the tokens.' },
    stateColumn,
    ageColumn,
    messageColumn,
  ],
  check: (spec) => [
    ...checkExactlyOne('spec', spec, methodNames),
    ...(spec.oidc ? checkOidc(spec.oidc) : []),
    ...(spec.github ? checkGitHub(spec.github) : []),
  ],
  unsupported: (spec) =>
    (['bitbucket', 'static'] as const).filter((name) => spec[name]).map((name) => `spec.${name}`),
})

/** How this server logs people in at GitHub, with every default filled in. */
export interface GitHubLogin {
  readonly baseURL: string
  readonly apiURL: string
  readonly clientID: string
  readonly clientSecretRef: { readonly name: string; readonly key: string }
  readonly requiredOrgs: readonly { readonly name: string; readonly teams?: readonly string[] }[]
  readonly caBundle?: string
}

/** The login at a provider of kind github; undefined for others, and without a client secret to do it with. */
export function githubLoginOf({ spec: { github } }: IdentityProvider): GitHubLogin | undefined {
  if (!github?.clientSecretRef) return undefined
  const { clientID, clientSecretRef, requiredOrgs, caBundle } = github
  const baseURL = (github.baseURL ?? 'https://github.com').replace(/\/+$/, '')
  // An Enterprise Server has its API on its own host.
  const apiURL = baseURL === 'https://github.com' ? 'https://api.github.com' : `${baseURL}/api/v3`
  return {
    baseURL,
    apiURL,
    clientID,
    clientSecretRef,
    requiredOrgs,
    ...(caBundle !== undefined && { caBundle }),
  }
}

/** How tokens of a provider are judged, with every default filled in. */
export interface OidcTrust {
  readonly issuer: string
  readonly audiences: readonly string[]
  readonly usernameClaim: string
  readonly usernamePrefix: string
  readonly groupsClaim?: string
  readonly groupsPrefix: string
  /** Claims that must have one of the values. */
  readonly requiredClaims: Readonly<Record<string, readonly string[]>>
  readonly signingAlgorithms: readonly string[]
  readonly caBundle?: string
}

/** What a provider stands for; undefined for those that are not acted on. */
export function oidcTrustOf({ metadata, spec }: IdentityProvider): OidcTrust | undefined {
  const prefix = `${metadata.name}:`
  const defaults = { usernamePrefix: prefix, groupsPrefix: prefix, signingAlgorithms: ['RS256', 'ES256'] }
  if (spec.google) {
    const { clientID, requiredHostedDomains } = spec.google
    return {
      ...defaults,
      issuer: 'https://accounts.google.com',
      audiences: [clientID],
      usernameClaim: 'email',
      requiredClaims: { hd: requiredHostedDomains },
    }
  }
  if (!spec.oidc) return undefined
  const { requiredClaims = {}, usernameClaim = 'sub', ...rest } = spec.oidc
  const claims = Object.entries(requiredClaims).map(([name, value]) => [name, [value]])
  return {
    ...defaults,
    ...rest,
    usernameClaim,
    requiredClaims: Object.fromEntries(claims) as OidcTrust['requiredClaims'],
  }
}
