import { readFileSync } from 'node:fs'
import { Fault } from '#base/errors'
import type { Attestation, FileId, ProcessAttestor } from './attestor.ts'
import { collectAttributes, type Wanted } from './attributes.ts'
import { BinaryHashes } from './binary-hash.ts'
import { samePin } from './pin.ts'
import { findCgroupMount } from './proc-text.ts'
import { isGone, locateFile, readPin, ProcessDirectory } from './process-directory.ts'
import { openOwnerFinder } from './socket-owner.ts'

const maxAttempts = 3

/** One reading; 'changed' when the process executed something else or changed its ids meanwhile. */
async function readOnce(
  directory: ProcessDirectory,
  wanted: Wanted,
  hashes: BinaryHashes,
  cgroupMount: string | undefined,
): Promise<Attestation | 'changed'> {
  await using executable = await directory.openExecutable()
  const process = await readPin(directory, executable, cgroupMount)
  const attributes = await collectAttributes({ directory, executable, process }, wanted, hashes)
  await using executableNow = await directory.openExecutable()
  const now = await readPin(directory, executableNow, cgroupMount)
  if (!samePin(process.pin, now.pin)) return 'changed'
  return { pin: process.pin, executable: executable.path, attributes }
}

function unreadable(pid: number, error: NodeJS.ErrnoException): Fault {
  if (error.code !== 'EACCES' && error.code !== 'EPERM')
    return new Fault('ATTESTATION_FAILED', `process ${pid} cannot be read: ${error.message}`, {
      cause: error,
    })
  return new Fault('ATTESTATION_FAILED', `the daemon may not look at process ${pid}`, {
    hint: "as an ordinary user it sees that user's processes only; started as root, those of everybody",
    cause: error,
  })
}

/** Opens an attestor that reads /proc itself, with whatever rights this process has. */
export function openProcessReader(): ProcessAttestor {
  const hashes = new BinaryHashes()
  const cgroupMount = findCgroupMount(readFileSync('/proc/self/mountinfo', 'utf8'))
  let wanted: Wanted = { keys: new Set(), paths: [] }
  return {
    async attest(pid, startTicks) {
      await using directory = await ProcessDirectory.open(pid)
      if (!directory || directory.stat.startTicks !== startTicks) return undefined
      try {
        for (let attempt = 0; attempt < maxAttempts; attempt++) {
          const attestation = await readOnce(directory, wanted, hashes, cgroupMount)
          if (attestation !== 'changed') return attestation
        }
      } catch (error) {
        if (isGone(error)) return undefined
        throw unreadable(pid, error as NodeJS.ErrnoException)
      }
      throw new Fault('ATTESTATION_FAILED', `process ${pid} changes faster than it can be read`)
    },
    findOwner: openOwnerFinder(cgroupMount),
    async locate(paths) {
      const files = new Map<string, FileId>()
      for (const path of paths) {
        const file = await locateFile(path)
        if (file) files.set(path, file)
      }
      return files
    },
    async startOf(pid) {
      await using directory = await ProcessDirectory.open(pid)
      return directory?.stat.startTicks
    },
    async collect(keys, paths = []) {
      wanted = { keys: new Set(keys), paths }
    },
    async [Symbol.asyncDispose]() {},
  }
}
