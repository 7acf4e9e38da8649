/**
 * A process with some of the daemons of a fleet, as the server sees them: the daemon's own code for joining, streams,
 * reports and intermediates, no workers. It does what its parent asks by messages, and ends with it.
 */
import { systemClock } from '#base/clock'
import { silentLog } from '#base/log'
import { Secret } from '#base/secret'
import { boundHosts, openIntermediateKeeper, openLease, openNode, runStream, type Node } from '#daemon/sync'
import { applyScopeUpdate, emptyScope, type Scope } from '#model/scope'

/** What is to be true of a daemon: something of what it has in effect, as it has told or is about to tell the server. */
export type Condition =
  /** It has acknowledged a whole scope since it was last told to forget that. */
  | { readonly is: 'synced' }
  | { readonly is: 'bound'; readonly binding: string; readonly credential: string }
  | { readonly is: 'unbound'; readonly binding: string }

export type Request =
  | {
      readonly do: 'join'
      readonly name: string
      readonly stateDir: string
      readonly token: string
      readonly url: string
      readonly caHash: string
    }
  /** Opens all streams at once. */
  | { readonly do: 'connect' }
  | { readonly do: 'forget' }
  /** Answered when it is true of each of `names`. */
  | { readonly do: 'await'; readonly condition: Condition; readonly names: readonly string[] }

/** `id` comes back with the answer. */
export type Message = Request & { readonly id: number }

/** `error` is absent when it was done. */
export interface Answer {
  readonly id: number
  readonly error?: string
}

/** One simulated daemon. */
interface Member {
  readonly node: Node
  scope: Scope
  synced: boolean
}

const version = 'scale'
const report = { daemonHealth: 'ok', captureHealth: 'ok', conditions: [] }
const common = { clock: systemClock, log: silentLog, random: Math.random }
const stop = new AbortController()
const members = new Map<string, Member>()
const running: Promise<void>[] = []
const looks = new Set<(member: Member) => void>()

function isTrue(condition: Condition, { scope, synced }: Member): boolean {
  if (condition.is === 'synced') return synced
  const { bindings, credentials } = scope
  if (condition.is === 'unbound') return !bindings.has(condition.binding)
  return bindings.has(condition.binding) && credentials.has(condition.credential)
}

function connect(member: Member): void {
  const { node } = member
  const lease = openLease(systemClock)
  let newest = emptyScope
  const keeper = openIntermediateKeeper({ ...common, node, onIssued: async () => {} })
  const stream = runStream({
    ...common,
    node,
    lease,
    introduction: { version, captureLevel: 'process', captureDetail: 'simulated', metadata: { kernel: 'x' } },
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

async function untilTrue(condition: Condition, names: readonly string[]): Promise<void> {
  const missing = new Set(
    names.map((name) => members.get(name)!).filter((member) => !isTrue(condition, member)),
  )
  if (missing.size === 0) return
  await new Promise<void>((resolve) => {
    const look = (member: Member) => {
      if (missing.has(member) && isTrue(condition, member)) missing.delete(member)
      if (missing.size > 0) return
      looks.delete(look)
      resolve()
    }
    looks.add(look)
  })
}

async function perform(request: Request): Promise<void> {
  switch (request.do) {
    case 'join': {
      const { name, stateDir, token, url, caHash } = request
      const readJoinToken = async () => Secret.of(token)
      const server = new URL(url)
      const node = await openNode({
        ...common,
        stateDir,
        server,
        caHash,
        readJoinToken,
        hostname: name,
        version,
      })
      members.set(name, { node, scope: emptyScope, synced: false })
      return
    }
    case 'connect':
      for (const member of members.values()) connect(member)
      return
    case 'forget':
      for (const member of members.values()) member.synced = false
      return
    case 'await':
      return untilTrue(request.condition, request.names)
  }
}

process.on('message', ({ id, ...request }: Message) => {
  const answer = (error?: Error) =>
    process.connected && process.send!({ id, ...(error && { error: error.message }) } satisfies Answer)
  perform(request).then(() => answer(), answer)
})
process.once('disconnect', () => {
  stop.abort()
  void Promise.all(running).finally(() => process.exit())
})
// Ctrl-C reaches the whole process group: the parent ends its parts in order.
process.on('SIGINT', () => {})
