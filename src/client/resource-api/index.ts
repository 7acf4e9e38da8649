/**
 * The typed client of the resource API, for the CLI, the console and tests. It runs in a browser: `fetch` is
 * given, nothing of Node is imported. It keeps no cache and retries nothing but what it says.
 */
export { openResourceClient } from './resource-client.ts'
export type {
  IssuerKey,
  Place,
  ResourceClient,
  ResourceClientOptions,
  RotatedCredential,
  Verdict,
  WatchEvent,
  WriteOptions,
} from './resource-client.ts'
