import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import path from 'node:path'
import { Fault } from '#base/errors'
import { makeNamedFolder } from '#base/files'

const marker = '.tideway-dev'

/** Processes of this program that an earlier stack with this folder left behind when it was killed. */
function leftovers(base: string): number[] {
  return readdirSync('/proc').flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return []
    try {
      const args = readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0')
      const ours = args.some((arg) => arg.endsWith('/bin/tideway.ts'))
      return ours && args.some((arg) => arg.includes(`=${base}/`)) ? [Number(entry)] : []
    } catch {
      return [] // gone meanwhile
    }
  })
}

/**
 * Makes `base` the folder of a new stack, for one at a time, and clears what an earlier one left: its emulated cloud
 * has forgotten everything, so nothing else of it would fit.
 * @throws Fault SETTING_INVALID when it is in use, or holds something else
 */
export async function claimStateFolder(base: string): Promise<Disposable> {
  const asRoot = process.getuid!() === 0
  // Started as root, the daemon serves as a user of its own, who must be able to pass.
  makeNamedFolder('--state-dir', {
    path: base,
    mode: asRoot ? 0o711 : 0o700,
    above: asRoot ? 0o755 : 0o700,
  })
  if (readdirSync(base).length > 0 && !existsSync(path.join(base, marker))) {
    throw new Fault('SETTING_INVALID', `${base} holds something else than a development stack`, {
      hint: 'name an empty folder with --state-dir',
    })
  }
  // An abstract socket: the kernel takes the name back however we end.
  const lock = createServer()
  lock.listen(`\0tideway-dev-${createHash('sha256').update(realpathSync(base)).digest('hex')}`)
  try {
    await once(lock, 'listening')
  } catch (error) {
    throw new Fault('SETTING_INVALID', `another 'tideway dev' runs with ${base}`, {
      hint: 'stop it, or name another folder with --state-dir',
      cause: error,
    })
  }
  lock.unref()
  for (const pid of leftovers(base)) process.kill(pid, 'SIGKILL')
  for (const name of readdirSync(base)) rmSync(path.join(base, name), { recursive: true })
  writeFileSync(path.join(base, marker), '')
  return { [Symbol.dispose]: () => void lock.close() }
}
