import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

/** The run directories a daemon on this node may have: root's first, then the caller's own. */
function candidates(env: NodeJS.ProcessEnv): string[] {
  const uid = process.getuid!()
  const own = env['XDG_RUNTIME_DIR']
    ? path.join(env['XDG_RUNTIME_DIR'], 'tideway')
    : path.join(tmpdir(), `tideway-${uid}`)
  return uid === 0 ? ['/run/tideway'] : ['/run/tideway', own]
}

/** The run directory to use: what was given, else the first in which a daemon has its socket. */
export function findRunDir(given: string | undefined, env: NodeJS.ProcessEnv): string {
  if (given !== undefined) return given
  const all = candidates(env)
  return all.find((directory) => existsSync(path.join(directory, 'daemon.sock'))) ?? all.at(-1)!
}

/**
 * Asks the daemon on this node over its control socket.
 * @throws Fault DAEMON_UNREACHABLE, or what the daemon answered
 */
export async function askDaemon<T>(
  runDir: string,
  method: 'GET' | 'POST',
  route: string,
  body?: unknown,
): Promise<T> {
  const { callDaemon } = await import('#daemon/program')
  return (await callDaemon(path.join(runDir, 'daemon.sock'), method, route, body)) as T
}
