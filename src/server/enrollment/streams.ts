import { Code, ConnectError } from '@connectrpc/connect'
import type { EpochMs } from '#base/clock'
import type { Daemon } from '#model/resource'

/** The open streams, one a daemon: the newest. */
export interface Streams {
  /** Takes the place of an older stream, which ends. `expiresAt`: when the SVID does under which it was opened. */
  begin(daemonName: string, stream: AbortController, expiresAt: EpochMs): void
  /** The daemon has renewed its SVID: its stream may go on until that one expires. */
  extend(daemonName: string, expiresAt: EpochMs): void
  expiresAt(daemonName: string): EpochMs
  /** Tells of changes of the daemon's object for as long as `stream` is its present one. */
  follow(daemonName: string, stream: AbortController, onChange: (daemon: Daemon) => void): void
  changed(daemon: Daemon): void
  end(daemonName: string, stream: AbortController): void
  /** Whether `stream` is the daemon's present one. */
  isCurrent(daemonName: string, stream: AbortController): boolean
  /** Ends a daemon's stream with `reason`. */
  cut(daemonName: string, reason: Error): void
  names(): readonly string[]
  count(): number
  /** Ends all, because the server stops. */
  cutAll(reason: Error): void
  /** Whether the server stops: it does not know then where its daemons go from here. */
  isStopping(): boolean
  /** Resolves when no stream is left. */
  idle(): Promise<void>
}

interface Open {
  readonly stream: AbortController
  expiresAt: EpochMs
  onChange: (daemon: Daemon) => void
}

export function openStreams(): Streams {
  const streams = new Map<string, Open>()
  const waiting: (() => void)[] = []
  let isStopping = false
  const cut = (name: string, reason: Error) => streams.get(name)?.stream.abort(reason)
  return {
    begin(name, stream, expiresAt) {
      cut(name, new ConnectError('replaced by a newer stream', Code.Aborted))
      streams.set(name, { stream, expiresAt, onChange: () => {} })
    },
    extend(name, expiresAt) {
      const known = streams.get(name)
      if (known) known.expiresAt = expiresAt
    },
    expiresAt: (name) => streams.get(name)?.expiresAt ?? 0,
    follow(name, stream, onChange) {
      const known = streams.get(name)
      if (known?.stream === stream) known.onChange = onChange
    },
    changed: (daemon) => streams.get(daemon.metadata.name)?.onChange(daemon),
    end(name, stream) {
      if (streams.get(name)?.stream === stream) streams.delete(name)
      if (streams.size === 0) for (const resolve of waiting.splice(0)) resolve()
    },
    isCurrent: (name, stream) => streams.get(name)?.stream === stream,
    cut,
    names: () => [...streams.keys()],
    count: () => streams.size,
    isStopping: () => isStopping,
    cutAll(reason) {
      isStopping = true
      for (const name of streams.keys()) cut(name, reason)
    },
    async idle() {
      while (streams.size > 0) await new Promise<void>((resolve) => waiting.push(resolve))
    },
  }
}
