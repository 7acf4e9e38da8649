import { closeSync, existsSync, openSync, readdirSync, rmSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '#base/clock'
import { Fault, isFault } from '#base/errors'
import { unmount } from '#base/syscall'
import {
  BpfMap,
  detachLink,
  linkInfo,
  linkToCgroup,
  linkToTracepoint,
  openPinned,
  replaceProgram,
} from './bpf.ts'
import captureObject from './capture.bpf.json' with { type: 'json' }
import { cgroupAt, cgroupMount, type Cgroup } from './cgroup.ts'
import { heartbeatIntervalMs, isAlive, writeHeartbeat } from './heartbeat.ts'
import inspectObject from './inspect.bpf.json' with { type: 'json' }
import { layout, mapNames, mapShapes, type MapName } from './layout.ts'
import { loadObject, type LoadedObject } from './load.ts'
import {
  hooks,
  inspectorPath,
  isMountPoint,
  linkPath,
  mapPath,
  openMap,
  pinOver,
  preparePinDirectory,
  type Hook,
} from './pins.ts'

export interface AttachOptions {
  /**
   * The cgroup v2 directory whose processes, with those of all cgroups below, are looked at; or `host` for the
   * root cgroup. The root's own path is refused: nobody should capture a whole machine by a mistaken path.
   */
  readonly attachCgroup: string
  /** The cgroup of the daemon and its workers, which are exempt and alone may have the proxy port. */
  readonly daemonCgroup: string
  /** A folder of a BPF file system; one is mounted there when it is none. */
  readonly pinDirectory: string
  /** The user that the daemon serves as: it gets the maps, and cannot detach anything. */
  readonly owner: { readonly uid: number; readonly gid: number }
  readonly clock: Clock
  /** Captured connections that the processes of one cgroup may have open; more are refused. Default 4096. */
  readonly openPerCgroup?: number
}

const rootOwner = { uid: 0, gid: 0 }
/** State that outlives an upgrade of the programs, so that they decide as before from the first moment on. */
const keptMaps: readonly MapName[] = ['listeners', 'candidates', 'ports', 'destinations', 'verdicts']

function attachTarget(attachCgroup: string): Cgroup {
  if (attachCgroup === 'host') return cgroupAt(cgroupMount())
  const target = cgroupAt(attachCgroup)
  if (target.level === 0) {
    throw new Fault('SETTING_INVALID', `${attachCgroup} is the root cgroup`, {
      hint: 'to capture on the whole machine, set the attach point to "host"',
    })
  }
  return target
}

/** @throws Fault CAPTURE_BUSY when the daemon that has these maps lives, or is not known dead within 2 s */
async function refuseIfAlive(config: BpfMap, clock: Clock): Promise<void> {
  config.lookup()
  const seen = config.value.readBigUInt64LE(layout.config.offsets.heartbeat_ns)
  while (isAlive(config.value)) {
    await clock.sleep(heartbeatIntervalMs / 2)
    config.lookup()
    if (config.value.readBigUInt64LE(layout.config.offsets.heartbeat_ns) !== seen) {
      throw new Fault('CAPTURE_BUSY', 'another daemon captures here', {
        hint: 'stop it first, or give this one a cgroup and a pin directory of its own',
      })
    }
  }
}

/** Writes the configuration of fresh programs: no heartbeat, so whoever is captured is refused until we serve. */
function configure(
  config: BpfMap,
  previous: BpfMap | undefined,
  daemon: Cgroup,
  openPerCgroup: number,
): void {
  const { offsets } = layout.config
  previous?.value.copy(config.value)
  writeHeartbeat(config.value, false)
  config.value.writeBigUInt64LE(daemon.id, offsets.daemon_cgroup)
  config.value.writeUInt32LE(daemon.level, offsets.daemon_level)
  config.value.writeUInt32LE(openPerCgroup, offsets.open_per_cgroup)
  config.key.fill(0)
  config.update()
}

function copyEntries(from: BpfMap, to: BpfMap): void {
  for (const key of from.keys()) {
    key.copy(from.key)
    if (!from.lookup()) continue
    key.copy(to.key)
    from.value.copy(to.value)
    to.update()
  }
}

function attachHook(hook: Hook, program: number, target: Cgroup, pinDirectory: string): void {
  const path = linkPath(pinDirectory, hook)
  if ('tracepoint' in hook) {
    // The kernel cannot replace a tracepoint's program; both run for a moment, which does no harm here.
    const link = linkToTracepoint(program, hook.tracepoint)
    pinOver(link, path, rootOwner)
    closeSync(link)
    return
  }
  const existing = openPinned(path)
  if (existing !== undefined) {
    replaceProgram(existing, program)
    closeSync(existing)
    return
  }
  const cgroup = openSync(target.path, 'r')
  try {
    const link = linkToCgroup(program, cgroup, hook.attachType)
    pinOver(link, path, rootOwner)
    closeSync(link)
  } finally {
    closeSync(cgroup)
  }
}

/** @throws Fault SETTING_INVALID when the programs sit at another cgroup */
function requireSameTarget(pinDirectory: string, target: Cgroup): void {
  for (const hook of hooks) {
    if ('tracepoint' in hook) continue
    const link = openPinned(linkPath(pinDirectory, hook))
    if (link === undefined) continue
    const { cgroupId } = linkInfo(link)
    closeSync(link)
    if (cgroupId !== target.id) {
      throw new Fault('SETTING_INVALID', `${pinDirectory} captures another cgroup`, {
        hint: 'release it first: tideway capture release',
      })
    }
  }
}

function install(
  object: LoadedObject,
  target: Cgroup,
  { pinDirectory, owner }: Pick<AttachOptions, 'pinDirectory' | 'owner'>,
): void {
  // Maps before programs: whatever stops this half-way, the daemon and the programs then speak of different
  // maps, no heartbeat arrives, and who should be captured is refused.
  for (const name of mapNames) pinOver(object.maps.get(name)!, mapPath(pinDirectory, name), owner)
  for (const hook of hooks) attachHook(hook, object.programs.get(hook.program)!, target, pinDirectory)
}

/** Pins the inspector, or removes an older one where this kernel takes none: the verdicts then serve instead. */
function installInspector({ pinDirectory, owner }: Pick<AttachOptions, 'pinDirectory' | 'owner'>): void {
  try {
    using object = loadObject(inspectObject)
    pinOver(object.programs.get('tideway_inspect')!, inspectorPath(pinDirectory), owner)
  } catch (error) {
    if (!isFault(error, 'CAPTURE_UNAVAILABLE')) throw error
    rmSync(inspectorPath(pinDirectory), { force: true })
  }
}

/**
 * Loads the kernel programs, attaches them and pins everything, so that capture outlives this process and every
 * daemon: the short part that needs root (security rule 2). Where programs are pinned already they are replaced
 * one by one without a moment in which none runs, and the policy stays.
 * @throws Fault CAPTURE_BUSY while a daemon serves here; CAPTURE_UNAVAILABLE when the kernel or another version's
 *   pins stand against it; SETTING_INVALID; SYSCALL_FAILED
 */
export async function attachCapture(options: AttachOptions): Promise<{ upgraded: boolean }> {
  const { attachCgroup, daemonCgroup, pinDirectory, clock, openPerCgroup = 4096 } = options
  const target = attachTarget(attachCgroup)
  const daemon = cgroupAt(daemonCgroup)
  if (target.path === daemon.path || target.path.startsWith(join(daemon.path, '/'))) {
    throw new Fault(
      'SETTING_INVALID',
      `the daemon's cgroup ${daemon.path} contains all that it would capture`,
    )
  }
  preparePinDirectory(pinDirectory)
  requireSameTarget(pinDirectory, target)

  const upgraded = existsSync(mapPath(pinDirectory, 'config'))
  using previous = upgraded ? openMap(pinDirectory, 'config') : undefined
  if (previous) await refuseIfAlive(previous, clock)
  using object = loadObject(captureObject)
  const fresh = (name: MapName) => new BpfMap(object.maps.get(name)!, mapShapes[name])
  configure(fresh('config'), previous, daemon, openPerCgroup)
  if (upgraded) {
    for (const name of keptMaps) {
      using from = openMap(pinDirectory, name)
      copyEntries(from, fresh(name))
    }
  }
  try {
    installInspector(options)
    install(object, target, options)
  } catch (error) {
    if (!upgraded) releaseCapture(pinDirectory)
    throw error
  }
  return { upgraded }
}

function release(path: string, hook: Hook): void {
  const link = openPinned(path)
  if (link === undefined) return
  // Removing the pin detaches too, but only some time later.
  if (!('tracepoint' in hook)) detachLink(link)
  closeSync(link)
  rmSync(path)
}

/**
 * Detaches the programs and removes every pin; what they captured from then on goes direct. Says whether there was
 * anything.
 * @throws Fault SYSCALL_FAILED
 */
export function releaseCapture(pinDirectory: string): boolean {
  if (!existsSync(pinDirectory)) return false
  for (const hook of hooks.toReversed()) release(linkPath(pinDirectory, hook), hook)
  for (const name of mapNames) rmSync(mapPath(pinDirectory, name), { force: true })
  rmSync(inspectorPath(pinDirectory), { force: true })
  for (const name of readdirSync(pinDirectory)) {
    if (name.endsWith('_new')) rmSync(join(pinDirectory, name))
  }
  if (isMountPoint(pinDirectory)) unmount(pinDirectory)
  rmdirSync(pinDirectory)
  return true
}
