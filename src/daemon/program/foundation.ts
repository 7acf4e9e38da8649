import { existsSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { text as readStream } from 'node:stream/consumers'
import type { Clock } from '#base/clock'
import { Fault } from '#base/errors'
import { readNamedFile } from '#base/files'
import { hasCapabilities } from '#base/syscall'
import type { Log } from '#base/log'
import { Secret } from '#base/secret'
import { openProcessReader, type ProcessAttestor } from '#daemon/attestation'
import { notJoined, openNode, type Node } from '#daemon/sync'
import { findStore, installRoot } from '#daemon/trust'
import { claimFolder, defaultRunDir, defaultStateDir } from './paths.ts'
import { prepareAsRoot, type KernelCapture } from './root-phase.ts'
import { becomeUser, type ServingUser } from './serving-user.ts'
import type { DaemonSettings } from './settings.ts'
import { takeFolders } from './state-lock.ts'
import { version } from './version.ts'

/** What the serving process stands on: folders, attestor, capture, and this node's place in the trust domain. */
export interface Foundation {
  readonly runDir: string
  readonly stateDir: string
  readonly attestor: ProcessAttestor
  readonly capture: KernelCapture | undefined
  readonly withoutCapture: string | undefined
  readonly relocate: (path: string) => string
  readonly node: Node
  readonly upstreamCaPem: string | undefined
  /** The one user that is served; undefined when the attestor can read everyone's processes. */
  readonly onlyUid: number | undefined
}

async function readJoinToken(file: string): Promise<Secret> {
  const text = file === '-' ? await readStream(process.stdin) : await readNamedFile('--join-token-file', file)
  if (text.trim() === '') throw new Fault('SETTING_INVALID', `there is no join token in ${file}`)
  return Secret.of(text.trim())
}

function openNodeWith(
  settings: DaemonSettings,
  { stateDir, token, clock, log }: { stateDir: string; token: Secret | undefined; clock: Clock; log: Log },
): Promise<Node> {
  return openNode({
    stateDir,
    server: settings.server,
    caHash: settings.caHash,
    readJoinToken: token && (async () => token),
    hostname: settings.hostname,
    version,
    clock,
    log,
    random: Math.random,
  })
}

/**
 * Prepares everything that needs root, if we are root, and goes on without it.
 * @throws Fault SETTING_INVALID, CAPTURE_UNAVAILABLE, CAPTURE_BUSY, JOIN_REFUSED, SERVER_UNREACHABLE, ...
 */
export async function layFoundation(
  settings: DaemonSettings,
  {
    stack,
    clock,
    log,
    onAttestorExit,
  }: { stack: AsyncDisposableStack; clock: Clock; log: Log; onAttestorExit: () => void },
): Promise<Foundation> {
  const uid = process.getuid!()
  const runDir = settings.runDir ?? defaultRunDir(uid, process.env)
  const stateDir = settings.stateDir ?? defaultStateDir(uid, process.env)
  // Files that only root may read are read before we are somebody else.
  const { joinTokenFile, upstreamCa } = settings
  const joined = existsSync(join(stateDir, 'node.json'))
  const token = joinTokenFile !== undefined && !joined ? await readJoinToken(joinTokenFile) : undefined
  const upstreamCaPem =
    upstreamCa === undefined ? undefined : await readNamedFile('--upstream-ca', upstreamCa)
  // Before anything is attached that a daemon which does not start would leave behind.
  if (!joined && !(settings.server && token)) throw notJoined(stateDir)
  const node = () => openNodeWith(settings, { stateDir, token, clock, log })

  // Root of a container may read no other user's processes. It then serves as itself, as any other user would.
  const privileged = uid === 0 && hasCapabilities(['CAP_SYS_PTRACE', 'CAP_DAC_READ_SEARCH'])
  if (!privileged) {
    const lack = uid === 0 ? 'root with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH' : 'root'
    if (settings.capture === 'kernel') throw new Fault('CAPTURE_UNAVAILABLE', `kernel capture needs ${lack}`)
    if (settings.installTrust) {
      throw new Fault('SETTING_INVALID', `installing the intercept root needs ${lack}`)
    }
    claimFolder('--run-dir', { path: runDir, mode: 0o700, uid })
    claimFolder('--state-dir', { path: stateDir, mode: 0o700, uid })
    await takeFolders(stack, { runDir, stateDir })
    return {
      runDir,
      stateDir,
      upstreamCaPem,
      attestor: stack.use(openProcessReader()),
      capture: undefined,
      withoutCapture: `it needs ${lack}`,
      relocate: (path) => path,
      node: await node(),
      onlyUid: uid,
    }
  }
  const prepared = await prepareAsRoot(settings, {
    stack,
    runDir,
    stateDir,
    joined,
    clock,
    log,
    onAttestorExit,
  })
  const { first, ...serving } = prepared
  stack.use(prepared.attestor)
  let ownNode: Node
  try {
    const trusted = settings.installTrust ? await trustBeforeServing(prepared.user, node, log) : undefined
    becomeUser(prepared.user)
    ownNode = trusted ?? (await node())
  } catch (error) {
    await first?.takeBack()
    throw error
  }
  first?.keep()
  return { ...serving, runDir, stateDir, upstreamCaPem, node: ownNode, onlyUid: undefined }
}

/** Joins as the serving user, then installs the intercept root as the root that we still are. */
async function trustBeforeServing(
  { uid, gid }: ServingUser,
  openOwnNode: () => Promise<Node>,
  log: Log,
): Promise<Node> {
  process.setegid!(gid)
  process.seteuid!(uid)
  let node: Node
  try {
    node = await openOwnNode()
  } finally {
    process.seteuid!(0)
    process.setegid!(0)
  }
  log.info('trust.installed', { path: await installRoot(node.interceptRoot, await findStore()) })
  return node
}
