import { lstatSync } from 'node:fs'
import { enableCompileCache } from 'node:module'
import { homedir } from 'node:os'
import path from 'node:path'
import { makeFolder } from '#base/files'

/**
 * Keeps compiled code between commands, which halves their start. SECURITY: in a folder that is ours and that
 * nobody else can write; Node's default is below /tmp, and root must not run what lies in a user's home.
 */
function cacheCompiledCode(): void {
  const uid = process.getuid!()
  const user = process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache')
  const directory = path.join(uid === 0 ? '/var/cache' : user, 'tideway')
  try {
    makeFolder(directory, 0o700)
    const { uid: owner, mode } = lstatSync(directory)
    if (owner === uid && (mode & 0o022) === 0) enableCompileCache(directory)
  } catch {
    // No such place on this machine: commands start as fast as they do without.
  }
}

cacheCompiledCode()
const { runCli } = await import('#cli/commands')
process.exitCode = await runCli(process.argv.slice(2))
