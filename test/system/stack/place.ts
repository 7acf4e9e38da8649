// Where a stack under test lives: a cgroup that stands for the whole machine, and a network and a mount namespace.
import assert from 'node:assert/strict'
import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { mount, mountFlags, unmount, unshare } from '#base/syscall'
import { furnishPrivateHost } from '#cli/dev'
import { cgroupMount } from '#daemon/capture'

export interface Place extends AsyncDisposable {
  /** A folder of its own, which every user may enter. */
  readonly base: string
  /** The cgroup that stands for the machine. */
  readonly host: string
  /** Starts a command in a cgroup below it: it joins before it executes, so that all its sockets belong there. */
  start(group: string, command: readonly string[], options?: StartOptions): ChildProcess
}

export interface StartOptions {
  readonly env?: NodeJS.ProcessEnv
  /** A pipe unless given. */
  readonly stdout?: number | 'pipe'
  /** Our own unless given. */
  readonly stderr?: number | 'pipe' | 'inherit'
}

let taken = false

/**
 * Kills what is in the cgroup and removes it and the folder, when its standard input ends: so also after this
 * process was killed.
 */
const sweep = `cat > /dev/null
echo 1 > "$0/cgroup.kill"
while grep -q 'populated 1' "$0/cgroup.events"; do sleep 0.02; done
find "$0" -depth -type d -exec rmdir {} +
rmdir "$1"`

/** Moves this process into the place, for good: one for each test file. Its thread pool stays behind. Needs root. */
export function openPlace(): Place {
  assert.equal(process.getuid!(), 0, 'the system tests need root')
  assert.ok(!taken, 'this process has its place already')
  taken = true
  const base = mkdtempSync(path.join(tmpdir(), 'tideway-stack-'))
  const host = mkdtempSync(path.join(cgroupMount(), 'tideway-stack-'))
  const sweeper = spawn('/bin/sh', ['-c', sweep, host, base], {
    stdio: ['pipe', 'ignore', 'inherit'],
    detached: true,
  })
  const swept = once(sweeper, 'exit')
  unshare('network', 'mount')
  mount({ target: '/', flags: mountFlags.private | mountFlags.recursive })
  furnishPrivateHost(base)
  return {
    base,
    host,
    start(group, command, { env, stdout = 'pipe', stderr = 'inherit' }: StartOptions = {}) {
      const folder = path.join(host, group)
      mkdirSync(folder, { recursive: true })
      const enter = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
      const options: SpawnOptions = {
        env: { PATH: process.env['PATH'], ...env },
        stdio: ['pipe', stdout, stderr],
      }
      const child = spawn('/bin/sh', ['-c', enter, folder, ...command], options)
      child.stdin!.on('error', () => {})
      return child
    },
    async [Symbol.asyncDispose]() {
      unmount(base, { detach: true })
      sweeper.stdin.end()
      const [code] = (await swept) as [number]
      assert.equal(code, 0, 'the cgroup and the folder could be removed')
    },
  }
}
