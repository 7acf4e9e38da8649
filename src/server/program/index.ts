/**
 * The program `tideway server`: its settings, the order in which the parts of the control plane open and close,
 * the health port, the certificate of the HTTPS port, and the administrator's first token. Everything else is
 * decided in the parts.
 */
export { checkSettings, serverSettings, type ServerSettings } from './settings.ts'
export { runServer, type AdminAccess, type RunServerOptions, type ServerReady } from './run-server.ts'
export { readBackup, restoreBackup, type Restored } from './restore.ts'
