/**
 * Which control plane the CLI speaks to, and as whom: named contexts in one file, 0600, which is a kubeconfig;
 * logins at external providers, 0600 each, refreshed when they expire. It opens HTTPS connections for the resource
 * API's client; it does not know what is asked over them.
 */
export { bearerToken, type BearerToken } from './bearer-token.ts'
export {
  contextFilePath,
  contextNameFor,
  loadContexts,
  removeContext,
  saveContext,
  selectContext,
  useContext,
} from './context-file.ts'
export type { ContextFile } from './context-file.ts'
export { openFetch } from './fetch.ts'
export { execUser, kubeconfigOf, type Context, type Kubeconfig } from './kubeconfig.ts'
export { loadLogin, removeLogin, saveLogin, type Login } from './login-file.ts'
export { endLogin, fetchLoginClient, loginByBrowser, loginByDevice, type LoginSurroundings } from './login.ts'
export { fetchServerCa } from './server-ca.ts'
