/** Daemons as the server sees them: the daemon's own code for joining, streams, reports and intermediates, no workers. */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { systemClock } from '#base/clock'
import { silentLog } from '#base/log'
import { Secret } from '#base/secret'
import { boundHosts, openIntermediateKeeper, openLease, openNode, runStream, type Node } from '#daemon/sync'
import { applyScopeUpdate, emptyScope, type Scope } from '#model/scope'
import { daemonName, joinToken } from './objects.ts'
import { inParallel } from './parallel.ts'
import type { Server } from './server.ts'

const joinsAtOnce = 16
const version = 'scale'

/** One simulated daemon. */
export interface Member {
  readonly name: string
  /** What it has in effect, as it has told or is about to tell the server. */
  readonly scope: Scope
  /** Whether it has acknowledged its first, whole scope. */
  readonly synced: boolean
}

export interface Fleet extends AsyncDisposable {
  readonly members: readonly Member[]
  /** Opens all streams at once. */
  connect(): void
  /** From here on `synced` means: since now. */
  forget(): void
  /** Resolves when `holds` is true of every member in `among`; rejects on abort. */
  until(holds: (member: Member) => boolean, among: readonly Member[], signal: AbortSignal): Promise<void>
}

/** Joins `count` daemons, each with a join token of its own. */
export async function joinFleet(
  server: Server,
  { count, folder, signal }: { count: number; folder: string; signal: AbortSignal },
): Promise<Fleet> {
  const nodes: Node[] = []
  await inParallel(Array.from({ length: count }).keys(), joinsAtOnce, async (index) => {
    const token = randomBytes(24).toString('base64url')
    await server.client.create(joinToken(index, token), { signal })
    nodes[index] = await openNode({
      stateDir: join(folder, daemonName(index)),
      server: new URL(server.url),
      caHash: server.caHash,
      readJoinToken: async () => Secret.of(token),
      hostname: daemonName(index),
      version,
      clock: systemClock,
      log: silentLog,
      random: Math.random,
    })
  })

  const report = { daemonHealth: 'ok', captureHealth: 'ok', conditions: [] }
  const stop = new AbortController()
  const running: Promise<void>[] = []
  const looks = new Set<(member: Member) => void>()
  const members = nodes.map((node) => {
    const member = { name: node.daemonName, scope: emptyScope, synced: false }
    return { node, member }
  })

  function connect({ node, member }: (typeof members)[number]): void {
    const common = { node, clock: systemClock, log: silentLog, random: Math.random }
    const lease = openLease(systemClock)
    let newest = emptyScope
    const keeper = openIntermediateKeeper({ ...common, onIssued: async () => {} })
    const stream = runStream({
      ...common,
      lease,
      introduction: {
        version,
        captureLevel: 'process',
        captureDetail: 'simulated',
        metadata: { kernel: 'x' },
      },
      async onUpdate(update) {
        const scope = (newest = applyScopeUpdate(newest, update))
        keeper.setHosts(boundHosts(scope))
        const putIntoEffect = async () => {
          await keeper.untilFit()
          if (scope === newest) member.scope = scope
          // Of an older stream nothing counts any more.
          member.synced ||= update.reset
          for (const look of looks) look(member)
        }
        return { ready: putIntoEffect() }
      },
      onRefused: () => {},
      onConnected: () => {},
      report: () => report,
      signal: stop.signal,
    })
    running.push(stream, keeper.run({ signal: stop.signal }), node.run({ signal: stop.signal }))
  }

  return {
    members: members.map(({ member }) => member),
    connect() {
      for (const each of members) connect(each)
    },
    forget() {
      for (const { member } of members) member.synced = false
    },
    async until(holds, among, signal) {
      const missing = new Set(among.filter((member) => !holds(member)))
      if (missing.size === 0) return
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      const look = (member: Member) => {
        if (missing.has(member) && holds(member)) missing.delete(member)
        if (missing.size === 0) resolve()
      }
      const abort = () => reject(new Error(`${missing.size} of ${among.length} daemons are missing`))
      looks.add(look)
      signal.addEventListener('abort', abort, { once: true })
      if (signal.aborted) abort()
      try {
        await promise
      } finally {
        looks.delete(look)
        signal.removeEventListener('abort', abort)
      }
    },
    async [Symbol.asyncDispose]() {
      stop.abort()
      await Promise.all(running)
    },
  }
}
