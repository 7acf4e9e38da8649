// Informers of the client that people use, through whatever is done to the server: they must see each change once.
import { setTimeout as delay } from 'node:timers/promises'
import { CoreV1Api, CustomObjectsApi } from '@kubernetes/client-node'
import { Secret } from '#base/secret'
import { loadContexts } from '#cli/context'
import { openServerClient } from '../../src/server/program/fixture.ts'
import type { World } from '../system/stack/world.ts'
import { openHistory, secretsIn, servicesIn, type History } from '../watches/history.ts'
import { configFor, follow, type Follower } from '../watches/informer.ts'
import { judge } from '../watches/judgement.ts'

const namespace = 'watched'
const millisecondsBetweenChanges = 250
/** An informer that has not seen the end by then has missed it. */
const settleMs = 120_000

export interface Watched extends AsyncDisposable {
  /** Changes written so far. */
  readonly changes: number
  /** Writes no more, waits until all is seen, and says what was missed or seen twice. */
  finish(): Promise<string[]>
}

/** One history of Secrets, and one of Services, whose state the server writes, with an informer each. */
export async function openWatched(world: World, onBroken: (what: string) => void): Promise<Watched> {
  const context = loadContexts(world.layout.contexts).contexts[0]!
  const access = { token: Secret.of(context.token!), caPem: context.caPem! }
  const { call } = openServerClient({ url: context.server }, access, async () => {})
  const config = configFor(context.server, { ...access, token: context.token! })
  const objects = config.makeApiClient(CustomObjectsApi)
  const secrets = config.makeApiClient(CoreV1Api)
  const services = { group: 'core.riptides.io', version: 'v1alpha1', namespace, plural: 'services' }

  await using starting = new AsyncDisposableStack()
  const pairs: [History, Follower][] = []
  for (const [target, list] of [
    [secretsIn(namespace), () => secrets.listNamespacedSecret({ namespace })],
    [servicesIn(namespace), () => objects.listNamespacedCustomObject(services)],
  ] as const) {
    pairs.push([openHistory(call, target), starting.use(await follow(config, target.path, list))])
  }
  const histories = pairs.map(([history]) => history)
  const stop = new AbortController()
  const writing = (async () => {
    while (!stop.signal.aborted) {
      for (const history of histories) await history.write()
      await delay(millisecondsBetweenChanges, undefined, { signal: stop.signal }).catch(() => {})
    }
  })().catch((error: unknown) => onBroken(String(error)))
  starting.defer(async () => {
    stop.abort()
    await writing
  })
  const owned = starting.move()
  return {
    get changes() {
      return histories.reduce((sum, { written }) => sum + written.length, 0)
    },
    async finish() {
      stop.abort()
      await writing
      const found: string[] = []
      for (const [history, follower] of pairs) {
        await history.end()
        await Promise.race([follower.ended, delay(settleMs, undefined, { ref: false })])
        found.push(
          ...judge(history, follower.seen).map((what) => `informer of ${history.target.kind}: ${what}`),
        )
      }
      return found
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}
