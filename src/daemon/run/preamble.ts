import { isIP } from 'node:net'
import type { SocketAddress } from '#daemon/attestation'

/** What a relay says first on its connection to the daemon: which connection it carries. */
export interface Preamble {
  /** The workload's end. */
  readonly client: SocketAddress
  /** Where the workload connected to. */
  readonly server: SocketAddress
}

/** Longest line, its end included: two IPv6 addresses and ports. */
export const maxPreambleBytes = 128

export function formatPreamble({ client, server }: Preamble): string {
  return `TIDEWAY/1 ${client.address} ${client.port} ${server.address} ${server.port}\n`
}

function endpoint(address: string | undefined, port: string | undefined): SocketAddress | undefined {
  const number = /^[1-9]\d{0,4}$/.test(port ?? '') ? Number(port) : 0
  return address !== undefined && isIP(address) !== 0 && number > 0 && number < 65_536
    ? { address, port: number }
    : undefined
}

/**
 * Reads the line at the start of `bytes`. `incomplete` while it has not ended; `invalid` when it is no preamble
 * or too long.
 */
export function parsePreamble(
  bytes: Buffer,
): { readonly preamble: Preamble; readonly length: number } | 'incomplete' | 'invalid' {
  const end = bytes.subarray(0, maxPreambleBytes).indexOf(10)
  if (end < 0) return bytes.length < maxPreambleBytes ? 'incomplete' : 'invalid'
  const [magic, ...parts] = bytes.toString('latin1', 0, end).split(' ')
  const client = endpoint(parts[0], parts[1])
  const server = endpoint(parts[2], parts[3])
  if (magic !== 'TIDEWAY/1' || parts.length !== 4 || !client || !server) return 'invalid'
  return { preamble: { client, server }, length: end + 1 }
}
