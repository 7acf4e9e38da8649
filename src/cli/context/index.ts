/**
 * Which control plane the CLI speaks to, and as whom: named contexts in one file, 0600.
 * It opens HTTPS connections for the resource API's client; it does not know what is asked over them.
 */
export {
  contextFilePath,
  loadContexts,
  removeContext,
  saveContext,
  selectContext,
  useContext,
} from './context-file.ts'
export type { Context, ContextFile } from './context-file.ts'
export { openFetch } from './fetch.ts'
export { fetchServerCa } from './server-ca.ts'
