import { open, readdir, readFile, readlink, stat, type FileHandle } from 'node:fs/promises'
import { constants } from 'node:fs'
import { Fault } from '#base/errors'
import type { ProcessPin } from '#model/identity'
import type { FileId } from './attestor.ts'
import {
  findMountDevice,
  kernelDevice,
  parseCgroup,
  parseIds,
  parseStat,
  type CgroupPaths,
  type StatFields,
} from './proc-text.ts'

// O_PATH (open(2)), which node:fs does not name: a descriptor that needs no permission to read.
const openPath = 0o10000000
const deletedSuffix = ' (deleted)'

/** Error codes with which /proc says that the process has gone. */
export function isGone(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException
  return code === 'ENOENT' || code === 'ESRCH'
}

async function statFile(file: FileHandle): Promise<FileStat> {
  const { dev, ino, size, ctimeNs } = await file.stat({ bigint: true })
  return { device: dev, inode: ino, sizeBytes: size, changedNs: ctimeNs }
}

/** An open file as the kernel has it; `mountinfo` is a path to the mounts among which it was opened. */
async function kernelFile(file: FileHandle, stat: FileStat | undefined, mountinfo: string): Promise<FileId> {
  const info = await readFile(`/proc/self/fdinfo/${file.fd}`, 'latin1')
  const mountId = /^mnt_id:\s*(\d+)$/m.exec(info)?.[1]
  const mounts = mountId === undefined ? '' : await readFile(mountinfo, 'utf8')
  const device = mountId === undefined ? undefined : findMountDevice(mounts, mountId)
  const inode = /^ino:\s*(\d+)$/m.exec(info)?.[1]
  return {
    device: device ?? kernelDevice(stat?.device ?? 0n),
    inode: inode === undefined ? (stat?.inode ?? 0n) : BigInt(inode),
  }
}

/** The file that `path` leads to; undefined when there is none, or we may not see it. */
export async function locateFile(path: string): Promise<FileId | undefined> {
  try {
    await using file = await open(path, openPath)
    return await kernelFile(file, await statFile(file), '/proc/self/mountinfo')
  } catch {
    return undefined
  }
}

/** What comparison with other files, and with itself later, needs. */
export interface FileStat {
  readonly device: bigint
  readonly inode: bigint
  readonly sizeBytes: bigint
  readonly changedNs: bigint
}

/** The executable of a process, held open so that it stays the same file. */
export interface Executable {
  /** Path as the process's /proc entry shows it: a claim until compared with the host's own file (security rule 9). */
  readonly path: string
  /** As stat(2) shows it; undefined where the file system shows it to its own user only, as FUSE does. */
  readonly stat: FileStat | undefined
  /** As the kernel has it, for pins: overlayfs and btrfs show stat(2) something else. */
  readonly kernel: FileId
  /** A path under /proc/self that opens this very file. */
  readonly link: string
}

/**
 * Where the files of a process are, below its directory: once the thread that it began with has ended and others live
 * on, that one's show neither executable nor memory, and those of another are looked at.
 */
async function livingPart(process: string, { state }: StatFields): Promise<string> {
  if (state !== 'Z') return ''
  for (const thread of await readdir(`${process}/task`)) {
    const part = `task/${thread}/`
    const stat = await readFile(`${process}/${part}stat`, 'latin1').catch(() => '')
    if (/^[^ZX]$/.test(parseStat(stat)?.state ?? '')) return part
  }
  return ''
}

/**
 * One process, held by a descriptor of its /proc directory: all reads are of that process and fail once it is
 * gone, whoever has its number by then (security rule 8).
 */
export class ProcessDirectory implements AsyncDisposable {
  readonly pid: number
  readonly stat: StatFields
  readonly #directory: FileHandle
  readonly #part: string

  private constructor(pid: number, stat: StatFields, directory: FileHandle, part: string) {
    this.pid = pid
    this.stat = stat
    this.#directory = directory
    this.#part = part
  }

  /** Undefined when there is no such process. */
  static async open(pid: number): Promise<ProcessDirectory | undefined> {
    let directory: FileHandle
    try {
      directory = await open(`/proc/${pid}`, constants.O_RDONLY | constants.O_DIRECTORY)
    } catch (error) {
      if (isGone(error)) return undefined
      throw error
    }
    try {
      const path = `/proc/self/fd/${directory.fd}`
      const fields = parseStat(await readFile(`${path}/stat`, 'latin1'))
      if (fields) return new ProcessDirectory(pid, fields, directory, await livingPart(path, fields))
    } catch (error) {
      if (!isGone(error)) throw error
    }
    await directory.close()
    return undefined
  }

  path(name: string): string {
    // A process has the name of the thread that it began with, also when that has ended.
    const part = name === 'comm' ? '' : this.#part
    return `/proc/self/fd/${this.#directory.fd}/${part}${name}`
  }

  /** A file of the directory as text, at most `limit` bytes of it: the process decides how long it is. */
  async read(name: string, limit = 65_536): Promise<string> {
    await using file = await open(this.path(name), 'r')
    let bytes = Buffer.alloc(Math.min(limit, 65_536))
    let length = 0
    while (length < limit) {
      if (length === bytes.length) bytes = Buffer.concat([bytes], Math.min(limit, 2 * length))
      const { bytesRead } = await file.read(bytes, length, bytes.length - length)
      if (bytesRead === 0) break
      length += bytesRead
    }
    return bytes.toString('utf8', 0, length)
  }

  async openExecutable(): Promise<Executable & AsyncDisposable> {
    const link = await readlink(this.path('exe'))
    const file = await open(this.path('exe'), openPath)
    try {
      const stat = await statFile(file).catch(() => undefined)
      return {
        path: link.endsWith(deletedSuffix) ? link.slice(0, -deletedSuffix.length) : link,
        stat,
        kernel: await kernelFile(file, stat, this.path('mountinfo')),
        link: `/proc/self/fd/${file.fd}`,
        [Symbol.asyncDispose]: () => file.close(),
      }
    } catch (error) {
      await file.close()
      throw error
    }
  }

  async cgroup(): Promise<CgroupPaths> {
    return parseCgroup(await this.read('cgroup'))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#directory.close()
  }
}

export interface PinnedProcess {
  readonly pin: ProcessPin
  readonly cgroup: CgroupPaths
  /** Undefined when real, effective and saved id differ: then it is not plainly anyone's (security rule 10). */
  readonly plainUid: number | undefined
  readonly plainGid: number | undefined
}

function plain(ids: readonly number[]): number | undefined {
  return ids.every((id) => id === ids[0]) ? ids[0] : undefined
}

/** Reads the pin. @throws Fault ATTESTATION_FAILED when /proc shows something it never should */
export async function readPin(
  directory: ProcessDirectory,
  executable: Executable,
  cgroupMount: string | undefined,
): Promise<PinnedProcess> {
  const status = await directory.read('status')
  const uids = parseIds(status, 'Uid')
  const gids = parseIds(status, 'Gid')
  if (!uids || !gids) throw new Fault('ATTESTATION_FAILED', `/proc/${directory.pid}/status shows no ids`)
  const cgroup = await directory.cgroup()
  const cgroupId =
    cgroupMount !== undefined && cgroup.unified !== undefined
      ? await stat(cgroupMount + cgroup.unified, { bigint: true }).then(
          ({ ino }) => ino,
          () => 0n,
        )
      : 0n
  return {
    pin: {
      pid: directory.pid,
      startTicks: directory.stat.startTicks,
      exeDevice: executable.kernel.device,
      exeInode: executable.kernel.inode,
      uid: uids[0]!,
      gid: gids[0]!,
      cgroupId,
    },
    cgroup,
    plainUid: plain(uids),
    plainGid: plain(gids),
  }
}
