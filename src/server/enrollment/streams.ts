import { Code, ConnectError } from '@connectrpc/connect'

/** The open streams, one a daemon: the newest. */
export interface Streams {
  /** Takes the place of an older stream, which ends. */
  begin(daemonName: string, stream: AbortController): void
  end(daemonName: string, stream: AbortController): void
  /** Whether `stream` is the daemon's present one. */
  isCurrent(daemonName: string, stream: AbortController): boolean
  /** Ends a daemon's stream with `reason`. */
  cut(daemonName: string, reason: Error): void
  names(): readonly string[]
  cutAll(reason: Error): void
  /** Resolves when no stream is left. */
  idle(): Promise<void>
}

export function openStreams(): Streams {
  const streams = new Map<string, AbortController>()
  const waiting: (() => void)[] = []
  const cut = (name: string, reason: Error) => streams.get(name)?.abort(reason)
  return {
    begin(name, stream) {
      cut(name, new ConnectError('replaced by a newer stream', Code.Aborted))
      streams.set(name, stream)
    },
    end(name, stream) {
      if (streams.get(name) === stream) streams.delete(name)
      if (streams.size === 0) for (const resolve of waiting.splice(0)) resolve()
    },
    isCurrent: (name, stream) => streams.get(name) === stream,
    cut,
    names: () => [...streams.keys()],
    cutAll: (reason) => {
      for (const name of streams.keys()) cut(name, reason)
    },
    async idle() {
      while (streams.size > 0) await new Promise<void>((resolve) => waiting.push(resolve))
    },
  }
}
