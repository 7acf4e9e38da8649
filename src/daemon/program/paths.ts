import { chmodSync, lstatSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { Fault } from '#base/errors'
import { makeNamedFolder } from '#base/files'

/** Where sockets and the trust bundle are: `/run/tideway`, for an ordinary user in their runtime folder. */
export function defaultRunDir(uid: number, env: NodeJS.ProcessEnv): string {
  if (uid === 0) return '/run/tideway'
  const runtime = env['XDG_RUNTIME_DIR']
  return runtime ? join(runtime, 'tideway') : join(tmpdir(), `tideway-${uid}`)
}

/** Where node key, SVID and audit spool are kept. */
export function defaultStateDir(uid: number, env: NodeJS.ProcessEnv): string {
  if (uid === 0) return '/var/lib/tideway/daemon'
  return join(env['XDG_STATE_HOME'] || join(homedir(), '.local', 'state'), 'tideway', 'daemon')
}

/**
 * Makes the folder that `setting` names, or takes one that is there.
 * SECURITY: in /tmp anyone may have made it first: a link, or a folder of somebody else's, is refused.
 * @throws Fault SETTING_INVALID
 */
export function claimFolder(
  setting: string,
  { path, mode, uid }: { path: string; mode: number; uid: number },
): void {
  makeNamedFolder(setting, { path, mode })
  const stats = lstatSync(path)
  if (!stats.isDirectory() || stats.uid !== uid) {
    throw new Fault('SETTING_INVALID', `${path} is not a folder of user ${uid}`, {
      hint: `remove it, or name another with ${setting}`,
    })
  }
  chmodSync(path, mode)
}

/** The files of a run folder. */
export function runPaths(runDir: string) {
  return {
    control: join(runDir, 'daemon.sock'),
    connect: join(runDir, 'connect.sock'),
    bundle: join(runDir, 'certs', 'ca-certificates.crt'),
  }
}

/**
 * Where the kernel's objects of a daemon with this run folder are pinned. SECURITY: beside the run folder and not in
 * it, for that belongs to the serving user, who must not choose what root mounts or opens.
 */
export function pinDirectoryOf(runDir: string): string {
  return `${runDir}-bpf`
}
