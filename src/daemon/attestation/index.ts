/**
 * Reads what the kernel knows about a process and turns it into selector attributes, and finds the process at
 * the other end of a connection where no kernel program tells. It promises that everything in one attestation is
 * of one image of one process. It does not decide who that is (`#model/selectors`), and collects no container
 * attributes yet.
 */
export type {
  Attestation,
  Attestor,
  ClientConnection,
  FileId,
  ProcessAttestor,
  SocketAddress,
} from './attestor.ts'
export { startAttestor } from './attestor-process.ts'
export { pinKey, samePin } from './pin.ts'
export { openProcessReader } from './process-reader.ts'
export { openSocketUids } from './socket-owner.ts'
export { openTurns } from './turns.ts'
