import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import type { Executable } from './process-directory.ts'

const maxBytes = 1024n * 1024n * 1024n
const maxEntries = 1024

/** SHA-256 of executables, each file read once for as long as it does not change (security rule 9). */
export class BinaryHashes {
  /** Oldest first; the oldest goes when there are more than `maxEntries`. */
  readonly #known = new Map<string, Promise<string>>()

  /** `sha256:<hex>`; undefined for a file larger than 1 GiB or that may not be read. */
  async hash({ stat, link }: Executable): Promise<string | undefined> {
    if (!stat || stat.sizeBytes > maxBytes) return undefined
    const key = `${stat.device} ${stat.inode} ${stat.sizeBytes} ${stat.changedNs}`
    let digest = this.#known.get(key)
    if (!digest) {
      digest = readHash(link)
      this.#known.set(key, digest)
      const oldest = this.#known.keys().next().value
      if (this.#known.size > maxEntries && oldest !== undefined) this.#known.delete(oldest)
    }
    try {
      return await digest
    } catch {
      this.#known.delete(key)
      return undefined
    }
  }
}

async function readHash(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer)
  return `sha256:${hash.digest('hex')}`
}
