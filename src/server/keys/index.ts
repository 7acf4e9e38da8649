/**
 * Custody: the control plane's private keys and secrets, sealed in the store under one key that is not in it.
 * A wrong or missing sealing key is a fault at start that changes nothing. It does not protect against who can
 * read the sealing key and the store together, and it does not rotate the sealing key.
 */
export type { Custody, SealedChanges } from './ports.ts'
export { custodyOver, openCustody } from './custody.ts'
export { loadSealingKey, sealingCredentialName } from './sealing-key.ts'
export { openSealer } from './sealing.ts'
