// What is done to the parts of the stack: each deed resolves when the part is there again.
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { Random } from '../fuzz/random.ts'
import { until, type DaemonStatus } from '../system/stack/world.ts'
import type { Affected } from './disturbances.ts'
import { bindings, type Stage } from './stage.ts'

export interface Deed {
  readonly what: string
  /** How often, against the others. */
  readonly weight: number
  /** Whose requests may fail meanwhile; undefined where none may. */
  readonly affects?: Affected
  /** One of the long-lived processes ends by it. */
  readonly replaces?: true
  do(): Promise<void>
}

/** Deeds of one list are done one after the other; the lists do not wait for each other. */
export interface Deeds {
  readonly toDaemon: readonly Deed[]
  readonly around: readonly Deed[]
}

export function deedsOn(stage: Stage, random: Random): Deeds {
  const { world } = stage
  const moment = (ms: number) => delay(random.below(ms))
  const workers = () => world.daemonChildren().workers
  const kill = (pid: number | undefined, signal: NodeJS.Signals) => {
    if (pid !== undefined) process.kill(pid, signal)
  }
  /** Does it to the workers, and waits for others in their place. */
  const replace = async (pids: readonly number[], signal: NodeJS.Signals) => {
    const { length } = workers()
    for (const pid of pids) kill(pid, signal)
    // Their successors are there once the daemon has noticed, and not before.
    const isReplaced = () => workers().length === length && !workers().some((pid) => pids.includes(pid))
    await until('the workers were replaced', isReplaced)
    await world.untilDaemonReady()
  }
  const endDaemon = async (end: () => Promise<void>) => {
    await end()
    await moment(2_000)
    await world.startDaemon()
  }

  const toDaemon: Deed[] = [
    {
      what: 'worker killed',
      weight: 3,
      affects: 'way',
      replaces: true,
      do: () => replace([random.pick(workers())], 'SIGKILL'),
    },
    {
      what: 'all workers killed',
      weight: 1,
      affects: 'way',
      replaces: true,
      do: () => replace(workers(), 'SIGKILL'),
    },
    {
      what: 'worker hung',
      weight: 1,
      affects: 'way',
      replaces: true,
      do: () => replace([random.pick(workers())], 'SIGSTOP'),
    },
    {
      what: 'attestor killed',
      weight: 1,
      affects: 'way',
      replaces: true,
      async do() {
        kill(world.daemonChildren().attestor, 'SIGKILL')
        await endDaemon(() => world.daemon.end('SIGCONT'))
      },
    },
    {
      what: 'daemon killed',
      weight: 3,
      affects: 'way',
      replaces: true,
      do: () => endDaemon(() => world.daemon.end('SIGKILL')),
    },
    {
      what: 'daemon stopped',
      weight: 1,
      affects: 'way',
      replaces: true,
      do: () => endDaemon(() => world.daemon.end('SIGTERM')),
    },
  ]
  const around: Deed[] = [
    {
      what: 'upstream killed',
      weight: 3,
      affects: 'front',
      async do() {
        const ended = once(stage.front, 'exit')
        stage.front.kill('SIGKILL')
        await ended
        await moment(2_000)
        await stage.startFront()
      },
    },
    {
      what: 'upstream hung',
      weight: 2,
      async do() {
        const { front } = stage
        front.kill('SIGSTOP')
        await moment(3_000)
        front.kill('SIGCONT')
      },
    },
    {
      what: 'credential rotated',
      weight: 2,
      do: async () => void (await world.api.rotateCredential(random.pick(bindings))),
    },
    {
      what: 'server killed',
      weight: 3,
      replaces: true,
      async do() {
        await world.server.end('SIGKILL')
        await moment(2_000)
        await world.startServer()
        const isConnected = ({ connected }: DaemonStatus) => connected
        const isGone = () => false // killed as well, meanwhile
        await until('the daemon has the server again', () => world.daemonStatus().then(isConnected, isGone))
      },
    },
    {
      what: 'server hung',
      weight: 1,
      async do() {
        world.server.signal('SIGSTOP')
        await moment(3_000)
        world.server.signal('SIGCONT')
      },
    },
  ]
  return { toDaemon, around }
}
