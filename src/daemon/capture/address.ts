import { SocketAddress } from 'node:net'

/** Length of an address as the kernel maps hold it: IPv6, or IPv4-mapped. */
export const addressBytes = 16

function writeGroups(text: string, out: Buffer, offset: number): number {
  if (text === '') return offset
  for (const group of text.split(':')) {
    if (group.includes('.')) offset = writeIpv4(group, out, offset)
    else offset = out.writeUInt16BE(Number.parseInt(group, 16), offset)
  }
  return offset
}

function writeIpv4(text: string, out: Buffer, offset: number): number {
  let octet = 0
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code === 0x2e) {
      out[offset++] = octet
      octet = 0
    } else octet = octet * 10 + code - 0x30
  }
  out[offset++] = octet
  return offset
}

/**
 * Writes the 16 bytes of an IP address as Node prints it (`127.0.0.1`, `::1`, `::ffff:127.0.0.1`, with or without
 * a zone). It takes valid addresses only: they come from the runtime, never from a peer.
 */
export function writeAddress(text: string, out: Buffer, offset: number): void {
  out.fill(0, offset, offset + addressBytes)
  if (!text.includes(':')) {
    out.writeUInt16BE(0xffff, offset + 10)
    writeIpv4(text, out, offset + 12)
    return
  }
  const zone = text.indexOf('%')
  const address = zone === -1 ? text : text.slice(0, zone)
  const gap = address.indexOf('::')
  if (gap === -1) {
    writeGroups(address, out, offset)
    return
  }
  writeGroups(address.slice(0, gap), out, offset)
  const tail = Buffer.alloc(addressBytes)
  const length = writeGroups(address.slice(gap + 2), tail, 0)
  tail.copy(out, offset + addressBytes - length, 0, length)
}

function isMapped(bytes: Buffer, offset: number): boolean {
  return bytes.readBigUInt64LE(offset) === 0n && bytes.readUInt32BE(offset + 8) === 0xffff
}

/** The text of the 16 bytes at `offset`: IPv4-mapped ones as IPv4, others as RFC 5952 writes them. */
export function readAddress(bytes: Buffer, offset: number): string {
  if (isMapped(bytes, offset)) {
    return `${bytes[offset + 12]}.${bytes[offset + 13]}.${bytes[offset + 14]}.${bytes[offset + 15]}`
  }
  const groups: string[] = []
  for (let at = offset; at < offset + addressBytes; at += 2) groups.push(bytes.readUInt16BE(at).toString(16))
  return new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address
}
