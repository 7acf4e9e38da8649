import { backoffMs, type Clock } from '#base/clock'
import { runTogether } from '#base/lifecycle'
import type { Log } from '#base/log'
import { followEntries, runtimePrefix, type Store, type StoreOperation } from '#server/store'
import type { Changes } from './changes.ts'
import { placesOf } from './plan.ts'
import type { ScopeStreams, Stream } from './scopes.ts'
import { decodeReport, encodeReport } from './stream-report.ts'

const prefix = `${runtimePrefix}streams/`
const maxReportsPerWrite = 200
const retry = { baseMs: 200, maxMs: 2_000, random: Math.random }

/** What all servers say of the daemons that are connected to them. */
export interface StreamReports {
  /** Of daemons that are connected elsewhere. */
  remote(): readonly Stream[]
  /** Whether another server says that the daemon is connected there. */
  isElsewhere(daemonName: string): boolean
  /** Says what daemons here have in effect, whenever it changes, and follows what others say. */
  run(options: { signal: AbortSignal }): Promise<void>
}

/** For a server that has its store alone. */
export const noReports: StreamReports = {
  remote: () => [],
  isElsewhere: () => false,
  run: ({ signal }) =>
    new Promise((resolve) => {
      if (signal.aborted) resolve()
      signal.addEventListener('abort', () => resolve(), { once: true })
    }),
}

/** `server` names this one; `changes` is rung by `scopes`, and here when others say something new. */
export function openStreamReports({
  store,
  server,
  scopes,
  changes,
  clock,
  log,
}: {
  store: Store
  server: string
  scopes: Pick<ScopeStreams, 'streams'>
  changes: Changes
  clock: Clock
  log: Log
}): StreamReports {
  /** By key: what others say, and since which revision they do. */
  const others = new Map<string, { readonly stream: Stream; readonly since: number }>()
  /** By key: what the store has of ours. */
  const said = new Map<string, string>()

  const isOwn = (key: string) => key.endsWith(`/${server}`)
  const daemonOf = (key: string) => key.slice(prefix.length, key.lastIndexOf('/'))

  async function tell(): Promise<void> {
    const wanted = new Map(
      scopes.streams().map((stream) => [`${prefix}${stream.daemon.name}/${server}`, encodeReport(stream)]),
    )
    const news: StoreOperation[] = [
      ...[...said.keys()].filter((key) => !wanted.has(key)).map((key) => ({ type: 'delete', key }) as const),
      ...[...wanted]
        .filter(([key, text]) => said.get(key) !== text)
        .map(([key, text]) => ({ type: 'put', key, value: Buffer.from(text) }) as const),
    ]
    for (let at = 0; at < news.length; at += maxReportsPerWrite) {
      const part = news.slice(at, at + maxReportsPerWrite)
      await store.transaction([], part)
      for (const { key } of part) {
        if (wanted.has(key)) said.set(key, wanted.get(key)!)
        else said.delete(key)
      }
    }
  }

  async function report({ signal }: { signal: AbortSignal }): Promise<void> {
    for (let attempt = 0; !signal.aborted;) {
      const heard = changes.rings
      try {
        await tell()
        attempt = 0
        await changes.after(heard, signal)
      } catch (error) {
        log.warn('reports.not-written', { error })
        await clock.sleep(backoffMs(attempt++, retry), { signal, unref: true }).catch(() => {})
      }
    }
    await store
      .transaction(
        [],
        [...said.keys()].map((key) => ({ type: 'delete', key })),
      )
      .catch(() => {})
  }

  function note(key: string): void {
    const daemon = others.get(key)?.stream.daemon
    if (daemon) changes.presence(daemon.name, placesOf(daemon))
  }

  function hear(key: string, text: string, since: number): void {
    if (isOwn(key)) {
      if (said.has(key)) return
      // A write that was thought to have failed: it is taken back when its daemon has gone meanwhile.
      said.set(key, text)
      return changes.ring()
    }
    note(key)
    others.set(key, { stream: decodeReport(text), since })
    note(key)
  }

  function forget(key: string): void {
    // Who leads took this server for dead: it says everything again.
    if (isOwn(key)) said.delete(key)
    note(key)
    others.delete(key)
    changes.ring()
  }

  async function listen(signal: AbortSignal): Promise<void> {
    for await (const { all, events } of followEntries(store, prefix, { signal })) {
      if (all) {
        for (const key of others.keys()) forget(key)
        // A failover can have lost what we said last, also that a daemon went.
        said.clear()
        changes.ring()
      }
      for (const event of events) {
        if (event.type === 'delete') forget(event.key)
        else hear(event.entry.key, Buffer.from(event.entry.value).toString(), event.entry.createRevision)
      }
    }
  }

  async function follow({ signal }: { signal: AbortSignal }): Promise<void> {
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        await listen(signal)
      } catch (error) {
        log.warn('reports.not-followed', { error })
        await clock.sleep(backoffMs(attempt, retry), { signal, unref: true }).catch(() => {})
      }
    }
  }

  return {
    remote() {
      const here = new Set(scopes.streams().map(({ daemon }) => daemon.name))
      const newest = new Map<string, { readonly stream: Stream; readonly since: number }>()
      for (const [key, found] of others) {
        const name = daemonOf(key)
        // One that moved may for a while be said to be at both.
        if (!here.has(name) && (newest.get(name)?.since ?? 0) < found.since) newest.set(name, found)
      }
      return [...newest.values()].map(({ stream }) => stream)
    },
    isElsewhere: (name) => [...others.keys()].some((key) => daemonOf(key) === name),
    run: ({ signal }) => runTogether(signal, [report, follow]),
  }
}
