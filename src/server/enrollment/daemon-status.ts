import type { Clock } from '#base/clock'
import { isFault } from '#base/errors'
import type { Log } from '#base/log'
import type { CaptureLevel } from '#model/scope'
import { formatTime } from '#model/resource'
import type { Resources, StatusOf } from '#server/store'
import type { Health, Hello } from '#wire/proto'
import { daemonNamespace } from './daemons.ts'

/**
 * Health that says nothing new is written this often: each write is a revision that every watcher sees, and a thousand
 * daemons at rest would keep the store busy. A daemon that is gone shows at once.
 */
const quietWriteMs = 120_000
const maxFacts = 100
const maxTextLength = 1024

const text = (value: string) => value.slice(0, maxTextLength)

/** Keeps the status of one connected Daemon: news at once, the rest rarely, one write at a time. */
export interface DaemonStatus {
  connected(hello: Hello, captureLevel: CaptureLevel): void
  observe(health: Health): void
  /** Resolves when the status has been written. */
  disconnected(): Promise<void>
}

export function openDaemonStatus({
  resources,
  clock,
  log,
  name,
}: {
  resources: Resources
  clock: Clock
  log: Log
  name: string
}): DaemonStatus {
  let pending: StatusOf<'Daemon'> = {}
  let writing: Promise<void> | undefined
  let lastHealth = ''
  let lastWriteAt = -Infinity

  function set(change: StatusOf<'Daemon'>): void {
    const at = formatTime(clock.now())
    pending = { ...pending, ...change, lastSeenAt: at, updateAt: at }
    lastWriteAt = clock.monotonic()
    writing ??= write().finally(() => (writing = undefined))
  }

  async function write(): Promise<void> {
    while (Object.keys(pending).length > 0) {
      const change = pending
      pending = {}
      try {
        await resources.updateStatus('Daemon', daemonNamespace, name, ({ status }) => ({
          ...status,
          ...change,
        }))
      } catch (error) {
        // Deleted meanwhile: there is nothing left to keep.
        if (!isFault(error, 'RESOURCE_NOT_FOUND')) log.warn('daemon.status.failed', { daemon: name, error })
      }
    }
  }

  return {
    connected({ version, captureDetail, metadata }, captureLevel) {
      const facts = Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1))
      set({
        state: 'OK',
        message: 'connected',
        version: text(version),
        captureLevel,
        captureDetail: text(captureDetail),
        metadata: facts.slice(0, maxFacts).map(([name, value]) => ({ name: text(name), value: text(value) })),
      })
    },
    observe({ daemonHealth, captureHealth }) {
      const health = `${daemonHealth}\n${captureHealth}`
      if (health === lastHealth && clock.monotonic() - lastWriteAt < quietWriteMs) return
      lastHealth = health
      const sound = daemonHealth === 'ok'
      set({
        state: sound ? 'OK' : 'FAILED',
        message: sound ? 'connected' : text(daemonHealth),
        health: {
          daemonHealth: text(daemonHealth),
          driverHealth: text(captureHealth),
          lastProbeAt: formatTime(clock.now()),
        },
      })
    },
    async disconnected() {
      set({ state: 'DISCONNECTED', message: 'not connected; it works on until its offline lease ends' })
      await writing
    },
  }
}
