/**
 * The control plane's HTTPS port: the resource API with the paths and conventions of Kubernetes, the
 * audit stream, and the routes that others add. Closed by default: a route is served to anyone only when its config
 * says `public`, and else to whom `#server/access` allows it. It holds no state and decides nothing about objects (`#server/store`,
 * `#server/reconcile`).
 */
export { openApi, type Api, type ApiOptions, type TlsKeyPair } from './api.ts'
