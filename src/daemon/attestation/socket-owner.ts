import { readdir, readlink } from 'node:fs/promises'
import { isIPv4 } from 'node:net'
import process from 'node:process'
import type { ProcessPin } from '#model/identity'
import type { ClientConnection, SocketAddress } from './attestor.ts'
import { readPin, ProcessDirectory } from './process-directory.ts'

const maxTableBytes = 16 * 1024 * 1024

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

/** Inode of the socket with these two ends, from the text of /proc/PID/net/tcp or tcp6. */
export function findSocketInode(table: string, local: string, remote: string): string | undefined {
  const at = table.indexOf(`: ${local} ${remote} `)
  if (at < 0) return undefined
  const end = table.indexOf('\n', at)
  const inode = table
    .slice(at + 2, end < 0 ? undefined : end)
    .trim()
    .split(/\s+/)[8]
  return inode === '0' ? undefined : inode
}

async function socketInode(
  directory: ProcessDirectory,
  { client, server }: ClientConnection,
): Promise<string | undefined> {
  const local = tableForms(client)
  const remote = tableForms(server)
  if (local.tcp !== undefined && remote.tcp !== undefined) {
    const inode = findSocketInode(await directory.read('net/tcp', maxTableBytes), local.tcp, remote.tcp)
    if (inode !== undefined) return inode
  }
  return findSocketInode(await directory.read('net/tcp6', maxTableBytes), local.tcp6, remote.tcp6)
}

async function holds(directory: ProcessDirectory, target: string): Promise<boolean> {
  for (const fd of await readdir(directory.path('fd'))) {
    const link = await readlink(directory.path(`fd/${fd}`)).catch(() => undefined)
    if (link === target) return true
  }
  return false
}

/** The pins of all processes in a network namespace that hold the socket and that we may read. */
async function holders(
  namespace: string,
  inode: string,
  cgroupMount: string | undefined,
): Promise<readonly ProcessPin[]> {
  const found: ProcessPin[] = []
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      await using directory = await ProcessDirectory.open(Number(name))
      if (!directory || (await readlink(directory.path('ns/net'))) !== namespace) continue
      if (!(await holds(directory, `socket:[${inode}]`))) continue
      await using executable = await directory.openExecutable()
      found.push((await readPin(directory, executable, cgroupMount)).pin)
    } catch {
      continue // gone meanwhile, or another user's: whom we may not read we cannot attest
    }
  }
  return found
}

function sameProgram(a: ProcessPin, b: ProcessPin): boolean {
  return (
    a.exeDevice === b.exeDevice &&
    a.exeInode === b.exeInode &&
    a.uid === b.uid &&
    a.gid === b.gid &&
    a.cgroupId === b.cgroupId
  )
}

/** See `ProcessAttestor.findOwner`. */
export async function findSocketOwner(
  connection: ClientConnection,
  cgroupMount: string | undefined,
): Promise<ProcessPin | undefined> {
  const { network } = connection
  await using inside = await ProcessDirectory.open(network === 'ours' ? process.pid : network.pid)
  if (!inside) return undefined
  const inode = await socketInode(inside, connection)
  if (inode === undefined) return undefined
  const namespace = await readlink(inside.path('ns/net'))
  if (network !== 'ours' && namespace === (await readlink('/proc/self/ns/net'))) return undefined
  const [first, ...others] = await holders(namespace, inode, cgroupMount)
  return first && others.every((other) => sameProgram(first, other)) ? first : undefined
}
