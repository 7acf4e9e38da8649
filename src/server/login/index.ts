/**
 * Logins at providers that speak OAuth 2.0 and give no ID tokens: the server asks them who somebody is, and is an
 * OpenID provider of its own to the command line (authorization code with PKCE on both ways). It decides nothing
 * about rights, and keeps no token of a provider.
 */
export { openLogins, type BrokeredUser, type Logins } from './logins.ts'
