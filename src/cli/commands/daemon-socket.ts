import { existsSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Fault, faultCatalogue, type FaultCode } from '#base/errors'

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
  const socketPath = path.join(runDir, 'daemon.sock')
  const text = await new Promise<string>((resolve, reject) => {
    const outgoing = request({ socketPath, method, path: route, timeout: 15_000 }, (incoming) => {
      incoming.setEncoding('utf8')
      let answer = ''
      incoming.on('data', (chunk: string) => (answer += chunk))
      incoming.on('end', () => resolve(answer))
      incoming.on('error', reject)
    })
    outgoing.on('timeout', () => outgoing.destroy(new Error('it does not answer')))
    outgoing.on('error', reject)
    outgoing.end(body === undefined ? undefined : JSON.stringify(body))
  }).catch((error: unknown) => {
    throw new Fault('DAEMON_UNREACHABLE', `no daemon answers at ${socketPath}: ${(error as Error).message}`, {
      hint: "start one ('tideway dev' or 'tideway daemon'), or name its run directory with --run-dir",
      cause: error,
    })
  })
  const value = JSON.parse(text) as { error?: { code: string; message: string } }
  if (!value.error) return value as T
  const code = Object.hasOwn(faultCatalogue, value.error.code) ? (value.error.code as FaultCode) : 'INTERNAL'
  throw new Fault(code, value.error.message)
}
