import { isIPv4 } from 'node:net'
import type { ClientConnection, SocketAddress } from './attestor.ts'
import type { ProcessDirectory } from './process-directory.ts'

const maxTableBytes = 16 * 1024 * 1024

/** What the kernel's table of TCP sockets says of one. */
export interface SocketRow {
  /** The user who made it. */
  readonly uid: number
  readonly inode: string
}

type Ends = Pick<ClientConnection, 'client' | 'server'>

/** `127.0.0.1` as the eight hexadecimal digits of /proc/net/tcp: one word in the byte order of this machine. */
function ipv4Word(address: string): string {
  const octets = address.split('.').map((octet) => Number(octet).toString(16).padStart(2, '0'))
  return octets.toReversed().join('').toUpperCase()
}

/** An IPv6 address as its four words. */
function ipv6Words(address: string): string {
  const [head = '', tail] = address.split('%')[0]!.split('::')
  const groupsOf = (part: string | undefined) =>
    part ? part.split(':').map((group) => group.padStart(4, '0')) : []
  const before = groupsOf(head)
  const after = groupsOf(tail)
  const groups = [...before, ...Array<string>(8 - before.length - after.length).fill('0000'), ...after]
  const hex = groups.join('')
  return (hex.match(/.{8}/g) ?? [])
    .map((word) => (word.match(/../g) ?? []).toReversed().join(''))
    .join('')
    .toUpperCase()
}

/** The forms in which an address and port may stand in the two tables. */
function tableForms({ address, port }: SocketAddress): { tcp?: string; tcp6: string } {
  const suffix = `:${port.toString(16).padStart(4, '0').toUpperCase()}`
  if (!isIPv4(address)) return { tcp6: ipv6Words(address) + suffix }
  const word = ipv4Word(address)
  return { tcp: word + suffix, tcp6: `0000000000000000FFFF0000${word}${suffix}` }
}

/** How a connection stands in each of the tables. */
function keysOf({ client, server }: Ends): { tcp: string | undefined; tcp6: string } {
  const [local, remote] = [tableForms(client), tableForms(server)]
  const tcp = local.tcp !== undefined && remote.tcp !== undefined ? `${local.tcp} ${remote.tcp}` : undefined
  return { tcp, tcp6: `${local.tcp6} ${remote.tcp6}` }
}

/** The rows with these ends, `LOCAL REMOTE`, all of one length, in the text of /proc/PID/net/tcp or tcp6. */
export function findSocketRows(table: string, ends: ReadonlySet<string>): ReadonlyMap<string, SocketRow> {
  const found = new Map<string, SocketRow>()
  const [first] = ends
  if (first === undefined) return found
  for (let at = table.indexOf(': '); at >= 0; at = table.indexOf(': ', table.indexOf('\n', at))) {
    const key = table.slice(at + 2, at + 2 + first.length)
    const end = table.indexOf('\n', at)
    if (end < 0) break
    if (!ends.has(key)) continue
    const fields = table
      .slice(at + 2, end)
      .trim()
      .split(/\s+/)
    const [uid, inode] = [Number(fields[6]), fields[8]]
    // Without an inode its process has closed it.
    if (inode !== undefined && inode !== '0') found.set(key, { uid, inode })
  }
  return found
}

/** The rows of connections in the network namespace of a process, in their order; undefined for one that is not there. */
export async function readSocketRows(
  directory: ProcessDirectory,
  connections: readonly Ends[],
): Promise<readonly (SocketRow | undefined)[]> {
  const keys = connections.map(keysOf)
  const read = async (name: 'tcp' | 'tcp6', wanted: readonly (string | undefined)[]) => {
    const ends = new Set(wanted.filter((key) => key !== undefined))
    const table = ends.size > 0 ? await directory.read(`net/${name}`, maxTableBytes) : ''
    return findSocketRows(table, ends)
  }
  const plain = await read(
    'tcp',
    keys.map(({ tcp }) => tcp),
  )
  const isMissing = ({ tcp }: { tcp: string | undefined }) => tcp === undefined || !plain.has(tcp)
  const others = await read(
    'tcp6',
    keys.filter(isMissing).map(({ tcp6 }) => tcp6),
  )
  return keys.map(({ tcp, tcp6 }) => (tcp === undefined ? undefined : plain.get(tcp)) ?? others.get(tcp6))
}
