import { spawn } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Clock } from '#base/clock'

/**
 * A place of its own for the root demo: a control group under which everything runs, and, inside, a network and
 * mount namespace. Whatever happens in there, it goes with it: namespaces end with their last process, and the
 * control group can end them all.
 */
export interface ControlGroup extends AsyncDisposable {
  /** Path of its directory. */
  readonly path: string
}

/** The cgroup v2 hierarchy's mount point, also where it is mounted beside version 1; undefined where there is none. */
export function findCgroup2(): string | undefined {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n')
  const mount = mounts.find((line) => / - cgroup2 /.test(line))
  return mount?.split(' ')[4]
}

function removeTree(directory: string): void {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(path.join(directory, entry.name))
  }
  rmdirSync(directory)
}

/** Makes the control group `name`; disposal kills what is left in it and removes it with all below. */
export function openControlGroup(name: string, clock: Clock): ControlGroup {
  const root = findCgroup2()
  if (root === undefined) throw new TypeError('no cgroup v2 hierarchy')
  const directory = path.join(root, name)
  mkdirSync(directory)
  return {
    path: directory,
    async [Symbol.asyncDispose]() {
      writeFileSync(path.join(directory, 'cgroup.kill'), '1')
      // The kernel empties the group a moment after the last process was killed.
      for (let attempt = 0; attempt < 200; attempt++) {
        if (readFileSync(path.join(directory, 'cgroup.events'), 'utf8').includes('populated 0')) break
        await clock.sleep(10)
      }
      removeTree(directory)
    },
  }
}

/**
 * Runs a command in new network and mount namespaces and in `group`, and returns its exit code. Aborting
 * sends it SIGTERM: it tidies up by itself, and the group's disposal ends it if it does not.
 */
export async function runEnclosed(
  command: readonly string[],
  { group, env, signal }: { group: ControlGroup; env: NodeJS.ProcessEnv; signal: AbortSignal },
): Promise<number> {
  // The shell enters the group before anything of ours starts, so that no socket is older than its membership.
  const enter = 'echo $$ > "$0/cgroup.procs" && exec unshare --net --mount --propagation private -- "$@"'
  const child = spawn('sh', ['-c', enter, group.path, ...command], { env, stdio: 'inherit', detached: true })
  const stop = () => child.kill('SIGTERM')
  signal.addEventListener('abort', stop, { once: true })
  if (signal.aborted) stop()
  try {
    return await new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('exit', (code, name) => resolve(code ?? (name === 'SIGINT' ? 130 : 143)))
    })
  } finally {
    signal.removeEventListener('abort', stop)
  }
}
