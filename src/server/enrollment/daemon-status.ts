import type { Clock, EpochMs } from '#base/clock'
import { isFault } from '#base/errors'
import type { Log } from '#base/log'
import type { CaptureLevel } from '#model/scope'
import {
  formatTime,
  lookAtDaemon,
  seeItsLog,
  unknownHealth,
  withReadiness,
  type Daemon,
  type StatusOf,
} from '#model/resource'
import type { Resources } from '#server/store'
import type { Health, Hello } from '#wire/proto'
import { daemonNamespace } from './daemons.ts'

/**
 * Health that says nothing new is written this often, by how many daemons there are: each write is a revision that
 * every watcher sees, and a thousand daemons at rest would keep the store busy. What is new is written at once.
 */
const quietWriteMs = (daemons: number) => Math.min(120_000, Math.max(10_000, daemons * 120))
const worksOn = 'it works on until its offline lease ends'
const maxFacts = 100
const maxTextLength = 1024

const text = (value: string) => value.slice(0, maxTextLength)

const retryMs = 1_000

/** Keeps the status of one connected Daemon: news at once, the rest rarely, one write at a time. */
export interface DaemonStatus {
  connected(hello: Hello, captureLevel: CaptureLevel): void
  observe(health: Health): void
  /** Nothing has been heard of it for a time, though its stream is open. */
  silent(since: { heardAt: EpochMs; forMs: number }): void
  /** It was silent, and is no more. */
  heard(): void
  /** Its object has changed: where somebody else has taken it for gone, it is said again how it is. */
  changed(daemon: Daemon): void
  /** Resolves when the status has been written, or could not be: who leads finds out by itself. */
  disconnected(heardAt: EpochMs): Promise<void>
}

export function openDaemonStatus({
  resources,
  clock,
  log,
  name,
  daemons,
  signal,
}: {
  resources: Pick<Resources, 'updateStatus'>
  clock: Clock
  log: Log
  name: string
  /** How many daemons there are. */
  daemons: () => number
  /** Aborts when its stream is over. */
  signal: AbortSignal
}): DaemonStatus {
  let pending: StatusOf<'Daemon'> = {}
  let writing: Promise<void> | undefined
  let lastHealth = ''
  let lastWriteAt = -Infinity

  /** How it is while it is there. */
  let present: StatusOf<'Daemon'> = {}
  let isThere = false

  function set(change: StatusOf<'Daemon'>, heardAt = clock.now()): void {
    const lastSeenAt = formatTime(heardAt)
    pending = { ...pending, ...change, lastSeenAt, updateAt: formatTime(clock.now()) }
    lastWriteAt = clock.monotonic()
    writing ??= write().finally(() => (writing = undefined))
  }

  /** What comes up while the present status is being read is written with the rest. */
  async function write(): Promise<void> {
    while (Object.keys(pending).length > 0) {
      let change: StatusOf<'Daemon'> = {}
      try {
        await resources.updateStatus('Daemon', daemonNamespace, name, ({ status }) => {
          change = { ...change, ...pending }
          pending = {}
          return withReadiness({ ...status, ...change }, clock.now())
        })
      } catch (error) {
        // Deleted meanwhile: there is nothing left to keep.
        const isDeleted = isFault(error, 'RESOURCE_NOT_FOUND')
        if (!isDeleted) log.warn('daemon.status.failed', { daemon: name, error })
        if (isDeleted || signal.aborted) return void (pending = {})
        pending = { ...change, ...pending }
        await clock.sleep(retryMs, { signal, unref: true }).catch(() => {})
      }
    }
  }

  return {
    connected({ version, captureDetail, metadata }, captureLevel) {
      const facts = Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1))
      present = { state: 'OK', message: 'connected' }
      isThere = true
      set({
        ...present,
        version: text(version),
        captureLevel,
        captureDetail: text(captureDetail),
        metadata: facts.slice(0, maxFacts).map(([name, value]) => ({ name: text(name), value: text(value) })),
      })
    },
    observe({ daemonHealth, captureHealth }) {
      const health = `${daemonHealth}\n${captureHealth}`
      if (health === lastHealth && clock.monotonic() - lastWriteAt < quietWriteMs(daemons())) return
      lastHealth = health
      const sound = daemonHealth === 'ok'
      present = {
        state: sound ? 'OK' : 'FAILED',
        message: sound ? 'connected' : `${text(daemonHealth)}: ${seeItsLog}`,
        health: {
          daemonHealth: text(daemonHealth),
          driverHealth: text(captureHealth),
          lastProbeAt: formatTime(clock.now()),
        },
      }
      set(present)
    },
    silent({ heardAt, forMs }) {
      isThere = false
      const message =
        `nothing heard of it for ${forMs / 1000} s: see whether its node is up and can be reached, and whether the daemon ` +
        `hangs; ${worksOn}`
      set({ state: 'DISCONNECTED', message, ...unknownHealth(present.health) }, heardAt)
    },
    heard() {
      isThere = true
      set(present)
    },
    changed({ status }) {
      // Who leads cannot tell a server that was cut off from the store from one that died. Also while something is
      // written: that may be in the store already, below what somebody else wrote since.
      if (isThere && status?.state === 'DISCONNECTED') set(present)
    },
    async disconnected(heardAt) {
      isThere = false
      const message = `not connected: ${lookAtDaemon}; ${worksOn}`
      set({ state: 'DISCONNECTED', message, ...unknownHealth(present.health) }, heardAt)
      await writing
    },
  }
}
