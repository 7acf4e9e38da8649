/**
 * The daemon's child processes and the calls between them: starts a child with the least privileges it needs,
 * that dies with its parent, and gives both sides typed calls over the IPC channel.
 * It does not restart anything: who needs a child supervises it.
 */
export { openPeer } from './peer.ts'
export type { Answers, Endpoint, Peer, Protocol } from './peer.ts'
export { startChild } from './child.ts'
export type { ChildPrivileges } from './child.ts'
export { hardenProcess } from './harden.ts'
