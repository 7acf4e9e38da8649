import { readdir, readlink, stat } from 'node:fs/promises'
import process from 'node:process'
import type { ProcessPin } from '#model/identity'
import type { ClientConnection } from './attestor.ts'
import { readPin, ProcessDirectory } from './process-directory.ts'
import { openRounds } from './rounds.ts'
import { readSocketRows } from './socket-table.ts'

/** A socket of somebody, as descriptors show it, and the network namespace from which it may be used. */
interface Wanted {
  readonly link: string
  readonly namespace: string
}

/** The sockets of `uid` behind connections in one network, in their order. */
async function findSockets(
  uid: number,
  network: ClientConnection['network'],
  connections: readonly ClientConnection[],
): Promise<readonly (Wanted | undefined)[]> {
  await using inside = await ProcessDirectory.open(network === 'ours' ? process.pid : network.pid)
  if (!inside) return []
  const namespace = await readlink(inside.path('ns/net'))
  if (network !== 'ours' && namespace === (await readlink('/proc/self/ns/net'))) return []
  const rows = await readSocketRows(inside, connections)
  return rows.map((row) => (row?.uid === uid ? { link: `socket:[${row.inode}]`, namespace } : undefined))
}

/** Which of these links the descriptors of a process show. */
async function heldLinks(directory: ProcessDirectory, links: ReadonlySet<string>): Promise<Set<string>> {
  const held = new Set<string>()
  for (const fd of await readdir(directory.path('fd'))) {
    const link = await readlink(directory.path(`fd/${fd}`)).catch(() => '')
    if (links.has(link)) held.add(link)
  }
  return held
}

/**
 * The pins of all processes of a user that we may read and that hold sockets, by the link of each. SECURITY: other
 * users' processes are asked for their owner and nothing else, so that nobody's look-ups cost more than what is theirs.
 */
async function findHolders(
  uid: number,
  wanted: readonly Wanted[],
  cgroupMount: string | undefined,
): Promise<ReadonlyMap<string, readonly ProcessPin[]>> {
  const found = new Map<string, ProcessPin[]>(wanted.map(({ link }) => [link, []]))
  const names = wanted.length > 0 ? await readdir('/proc') : []
  for (const name of names) {
    if (!/^\d+$/.test(name)) continue
    try {
      if ((await stat(`/proc/${name}`)).uid !== uid) continue
      await using directory = await ProcessDirectory.open(Number(name))
      if (!directory) continue
      const namespace = await readlink(directory.path('ns/net'))
      const links = new Set(wanted.filter((one) => one.namespace === namespace).map(({ link }) => link))
      const held = links.size > 0 ? await heldLinks(directory, links) : links
      if (held.size === 0) continue
      await using executable = await directory.openExecutable()
      const { pin } = await readPin(directory, executable, cgroupMount)
      for (const link of held) found.get(link)!.push(pin)
    } catch {
      continue // gone meanwhile, or one that we may not read and so cannot attest
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

/** The one program that holds a socket. */
function soleOwner([first, ...others]: readonly ProcessPin[] = []): ProcessPin | undefined {
  return first && others.every((other) => sameProgram(first, other)) ? first : undefined
}

/**
 * Opens `ProcessAttestor.findOwner`. SECURITY: all look-ups of one user that come together share one walk through its
 * processes, so that who opens many connections takes one turn among the others and no more.
 */
export function openOwnerFinder(
  cgroupMount: string | undefined,
): (connection: ClientConnection) => Promise<ProcessPin | undefined> {
  const find = openRounds<number, ClientConnection, ProcessPin | undefined>(async (uid, connections) => {
    const sockets = new Map<ClientConnection, Wanted>()
    const networks = Map.groupBy(connections, ({ network }) => (network === 'ours' ? 0 : network.pid))
    for (const group of networks.values()) {
      // One that cannot be read is nobody's.
      const found = await findSockets(uid, group[0]!.network, group).catch(() => [])
      for (const [index, socket] of found.entries()) if (socket) sockets.set(group[index]!, socket)
    }
    const holders = await findHolders(uid, [...sockets.values()], cgroupMount)
    return connections.map((connection) => soleOwner(holders.get(sockets.get(connection)?.link ?? '')))
  })
  return (connection) => find(connection.uid, connection)
}

/**
 * Opens a look at which user made the client's socket of a connection in our own network namespace: quickly, and
 * anybody may. Undefined when there is none here.
 */
export function openSocketUids(): (
  ends: Pick<ClientConnection, 'client' | 'server'>,
) => Promise<number | undefined> {
  const find = openRounds<'ours', Pick<ClientConnection, 'client' | 'server'>, number | undefined>(
    async (_, connections) => {
      await using ours = await ProcessDirectory.open(process.pid)
      const rows = ours ? await readSocketRows(ours, connections) : []
      return connections.map((_connection, index) => rows[index]?.uid)
    },
  )
  return (ends) => find('ours', ends)
}
