import { chmodSync, chownSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import process from 'node:process'
import type { Clock } from '#base/clock'
import { Fault } from '#base/errors'
import { makeFolder, makeNamedFolder } from '#base/files'
import type { Log } from '#base/log'
import { startAttestor, type ProcessAttestor } from '#daemon/attestation'
import { attachCapture, cgroupMount, probeCapture } from '#daemon/capture'
import { openFirstAttachment, type FirstAttachment } from './first-attachment.ts'
import { pinDirectoryOf } from './paths.ts'
import { everyoneMayEnter, exposeProgram } from './program-mount.ts'
import { findServingUser, type ServingUser } from './serving-user.ts'
import type { DaemonSettings } from './settings.ts'
import { takeFolders } from './state-lock.ts'

export interface KernelCapture {
  /** Where the kernel's maps are pinned. */
  readonly pinDirectory: string
  /** The cgroup below which processes are captured; undefined for the whole host. */
  readonly cgroup: string | undefined
}

/** What root has prepared for the serving process. */
export interface Prepared {
  readonly user: ServingUser
  readonly attestor: ProcessAttestor
  /** Where the serving user finds a file of this program. */
  readonly relocate: (path: string) => string
  readonly capture: KernelCapture | undefined
  /** Where the node had not joined before: to be kept when it has. */
  readonly first: FirstAttachment | undefined
  /** Why the kernel does not capture. */
  readonly withoutCapture: string | undefined
}

/** Our own cgroup, if systemd made it for this daemon alone. */
function ownServiceCgroup(): string | undefined {
  const path = /^0::(\/.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1]
  return path !== undefined && /^tideway.*\.service$/.test(basename(path))
    ? join(cgroupMount(), path)
    : undefined
}

/** Moves this process into a cgroup of the daemon's own, which capture leaves alone, and says which. */
function enterDaemonCgroup(attachCgroup: string | undefined): string {
  const service = attachCgroup === undefined ? ownServiceCgroup() : undefined
  if (service !== undefined) return service
  const path = join(attachCgroup ?? cgroupMount(), 'tideway-daemon')
  makeFolder(path, 0o755)
  writeFileSync(join(path, 'cgroup.procs'), String(process.pid))
  return path
}

async function attach(
  { attachCgroup }: DaemonSettings,
  { runDir, user, clock, log }: { runDir: string; user: ServingUser; clock: Clock; log: Log },
): Promise<KernelCapture & { upgraded: boolean }> {
  const pinDirectory = pinDirectoryOf(runDir)
  const daemonCgroup = enterDaemonCgroup(attachCgroup)
  const { upgraded } = await attachCapture({
    attachCgroup: attachCgroup ?? 'host',
    daemonCgroup,
    pinDirectory,
    owner: user,
    clock,
  })
  log.info('capture.attached', { cgroup: attachCgroup ?? 'host', pinDirectory, upgraded })
  return { pinDirectory, cgroup: attachCgroup, upgraded }
}

/**
 * The short part that needs root: folders, kernel capture, the attestor. Nothing here reads what came over a
 * network.
 * @throws Fault CAPTURE_UNAVAILABLE when capture is demanded and not possible; CAPTURE_BUSY; SETTING_INVALID
 */
export async function prepareAsRoot(
  settings: DaemonSettings,
  {
    stack,
    runDir,
    stateDir,
    joined,
    clock,
    log,
    onAttestorExit,
  }: {
    stack: AsyncDisposableStack
    runDir: string
    stateDir: string
    /** Whether an earlier start has joined. */
    joined: boolean
    clock: Clock
    log: Log
    onAttestorExit: () => void
  },
): Promise<Prepared> {
  const user = findServingUser(settings.user)
  const folders = [
    ['--run-dir', runDir, 0o755],
    ['--state-dir', stateDir, 0o700],
  ] as const
  for (const [setting, folder, mode] of folders) {
    // The folder above may be the server's as well: passable, and root's.
    makeNamedFolder(setting, { path: folder, mode, above: 0o755 })
    if (!everyoneMayEnter(dirname(folder))) {
      throw new Fault(
        'SETTING_INVALID',
        `user ${user.uid}, as whom the daemon serves, cannot reach ${folder}`,
        {
          hint: `let everyone enter the folders above it (chmod o+x), or choose another`,
        },
      )
    }
  }
  await takeFolders(stack, { runDir, stateDir })
  // SECURITY: only the folders themselves are given away. What the serving user put into them before is not
  // touched as root: it could be a link to something else.
  for (const [, folder, mode] of folders) {
    chownSync(folder, user.uid, user.gid)
    chmodSync(folder, mode)
  }

  let capture: KernelCapture | undefined
  let first: FirstAttachment | undefined
  let withoutCapture: string | undefined = 'it is switched off by --capture none'
  if (settings.capture !== 'none') {
    const availability = probeCapture()
    if (availability.available) {
      const { upgraded, ...attached } = await attach(settings, { runDir, user, clock, log })
      capture = attached
      // What was there before is left: unjudged candidates stay refused (docs/decisions/0006).
      if (!joined && !upgraded) first = openFirstAttachment(attached.pinDirectory)
    } else if (settings.capture === 'kernel') throw new Fault('CAPTURE_UNAVAILABLE', availability.reason)
    else withoutCapture = availability.reason
  }
  const relocate = exposeProgram(`${runDir}-program`)
  const attestor = startAttestor({
    ...user,
    clock,
    onExit: (status) => {
      log.error('attestor.ended', status)
      onAttestorExit()
    },
  })
  return { user, attestor, capture, first, relocate, withoutCapture: capture ? undefined : withoutCapture }
}
