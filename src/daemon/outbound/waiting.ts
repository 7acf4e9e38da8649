import type { Duplex } from 'node:stream'

/** What Node keeps about each piece that waits in a stream, beside its bytes; measured at 107. */
const pieceBytes = 128

interface Queues {
  readonly _readableState?: { readonly buffer?: ArrayLike<unknown> }
  readonly _writableState?: { readonly buffered?: ArrayLike<unknown> }
}

/**
 * Memory in bytes that is taken by what waits in a stream, to be read or to be written.
 *
 * SECURITY: Node keeps pieces as they come, so that frames or records of a byte each take a hundred times their bytes.
 * Only its own queues tell how many there are; where they do not, bytes alone count.
 */
export function waitingIn(stream: Duplex): number {
  const { _readableState: read, _writableState: written } = stream as Duplex & Queues
  const pieces = (read?.buffer?.length ?? 0) + (written?.buffered?.length ?? 0)
  return stream.readableLength + stream.writableLength + pieceBytes * pieces
}
