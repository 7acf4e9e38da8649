import { Type, type Static } from 'typebox'
import { at, malformed, required } from './field-error.ts'
import { ageColumn, coreGroup, defineKind, messageColumn, stateColumn, type ObjectOf } from './kind.ts'
import { closed, list, text } from './schema.ts'
import { statusOf } from './status.ts'

const clientSpec = closed(
  {
    redirectUrls: list(
      text('A URL, such as http://127.0.0.1/callback for a program on the own machine.'),
      'Where a login may end.',
      { minItems: 1 },
    ),
    native: Type.Optional(closed({}, 'The client by which the command line logs in.')),
    identityProvider: Type.Optional(
      text('Name of the IdentityProvider at which the client is registered. An extension of Tideway.'),
    ),
    clientID: Type.Optional(
      text(
        'Client ID: one of the audiences of the provider, or of your choice where the server logs people in. An extension of Tideway.',
      ),
    ),
    scopes: Type.Optional(
      list(
        text('A scope.'),
        'Scopes to ask for; openid, email, profile and offline_access unless given. An extension of Tideway.',
      ),
    ),
  },
  'How people log in.',
)

const clientStatus = statusOf(['PENDING', 'AVAILABLE', 'FAILED'], {})

export type OIDCClientSpec = Static<typeof clientSpec>
export type OIDCClient = ObjectOf<'OIDCClient', OIDCClientSpec, Static<typeof clientStatus>>

export const oidcClient = defineKind({
  kind: 'OIDCClient',
  group: coreGroup,
  plural: 'oidcclients',
  description: 'The client by which "tideway context login" logs people in at an IdentityProvider.',
  categories: ['tideway'],
  spec: clientSpec,
  status: clientStatus,
  columns: [
    { name: 'PROVIDER', path: '.spec.identityProvider', type: 'string', description: 'Its provider.' },
    { name: 'CLIENT ID', path: '.spec.clientID', type: 'string', description: 'Client ID.' },
    stateColumn,
    ageColumn,
    messageColumn,
  ],
  check: ({ redirectUrls, native, identityProvider, clientID }) => [
    ...(native ? [] : [required('spec.native', 'the only clients that are known are native ones')]),
    ...(identityProvider === undefined ? [required('spec.identityProvider')] : []),
    ...(clientID === undefined ? [required('spec.clientID')] : []),
    ...redirectUrls.flatMap((url, index) =>
      URL.canParse(url) ? [] : [malformed(at('spec.redirectUrls', index), 'must be a URL')],
    ),
  ],
})

/**
 * SECURITY: whether a login may end at `url`: at one that is registered, exactly, but for the port on loopback, which
 * programs take as they find it (RFC 8252 section 7.3).
 */
export function allowsRedirect(registered: readonly string[], url: string): boolean {
  const withoutPort = (text: string) => {
    const parsed = URL.parse(text)
    if (!parsed || parsed.protocol !== 'http:' || !/^(127\.0\.0\.1|\[::1\])$/.test(parsed.hostname))
      return text
    parsed.port = ''
    return parsed.href
  }
  return URL.canParse(url) && registered.some((known) => withoutPort(known) === withoutPort(url))
}
