/**
 * The control plane's HTTPS port: the resource API with the paths and conventions of Kubernetes, its bearer
 * tokens, the audit stream, and the routes that others add. Closed by default: a route is served to anyone only
 * when its config says `public`. It holds no state and decides nothing about objects (`#server/store`,
 * `#server/reconcile`).
 */
export { openApi, type Api, type ApiOptions, type TlsKeyPair } from './api.ts'
export { ensureAdminToken, openTokenAuthenticator, type Authenticator, type Principal } from './tokens.ts'
