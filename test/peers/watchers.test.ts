// client-go and the Python client watch while the server is killed, stopped and started again, and while it forgets
// what they have not seen. By hand: npm run test:peers; needs Go and pip. Two minutes after the builds, for clients
// wait ever longer before they come back.
import assert from 'node:assert/strict'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, before, test, type TestContext } from 'node:test'
import { runCommand } from '../rgw/command.ts'
import { until } from '../system/stack/world.ts'
import { openControlPlane, type ControlPlane } from '../watches/control-plane.ts'
import { openHistory, secretsIn, servicesIn, type History } from '../watches/history.ts'
import { judgeOutcome } from '../watches/judgement.ts'
import {
  judgeThroughEnds,
  pythonWatcher,
  startWatcher,
  untilSeen,
  write,
  type Watcher,
  type WatcherOptions,
} from '../watches/watchers.ts'
import { buildClientGo, installKubernetesClient } from './programs.ts'
import { report } from './report.ts'

const ends = ['SIGKILL', 'SIGTERM', 'SIGKILL', 'SIGTERM', 'SIGKILL', 'SIGTERM'] as const
/** client-go waits for up to a minute after some failures. */
const patienceSeconds = 240

let plane: ControlPlane
let go: string
let python: string

before(async () => {
  go = await buildClientGo()
  python = await installKubernetesClient()
  plane = await openControlPlane()
})
after(async () => {
  await plane?.[Symbol.asyncDispose]()
})

/** client-go in each way in which it can watch Secrets and Services. */
function clientGoWatchers(namespace: string, secrets: History, services: History): readonly WatcherOptions[] {
  const informer = (version: string, resource: string) => [go, 'watch', version, resource, namespace]
  const ofSecrets = { command: informer('v1', 'secrets'), history: secrets }
  const ofServices = { command: informer(services.target.apiVersion, 'services'), history: services }
  const streaming = { KUBE_FEATURE_WatchListClient: 'true' }
  const listing = { KUBE_FEATURE_WatchListClient: 'false' }
  return [
    { ...ofSecrets, name: 'client-go, streaming lists', env: streaming },
    { ...ofSecrets, name: 'client-go, lists', env: listing },
    { ...ofServices, name: 'client-go, streaming lists, of Services', env: streaming },
    { ...ofServices, name: 'client-go, lists, of Services', env: listing },
  ]
}

async function openWatchers(t: TestContext, namespace: string) {
  const secrets = openHistory(plane.call, secretsIn(namespace))
  const services = openHistory(plane.call, servicesIn(namespace))
  const options = [
    ...clientGoWatchers(namespace, secrets, services),
    pythonWatcher({ python, plane }, { mode: 'watch', namespace, secrets }),
    pythonWatcher({ python, plane }, { mode: 'informer', namespace, secrets }),
  ]
  const watchers = await Promise.all(options.map((one) => startWatcher(plane, one)))
  for (const watcher of watchers) t.after(() => watcher[Symbol.asyncDispose]())
  return { histories: [secrets, services], watchers }
}

test('nothing is missed and nothing seen twice through kills and restarts', async (t) => {
  const opened = await openWatchers(t, 'restarted')
  await judgeThroughEnds(t, { plane, ...opened }, { ends, patienceSeconds })
})

/** What the store does by itself after tens of thousands of writes. */
function forgetChanges(): void {
  using database = new DatabaseSync(path.join(plane.folder, 'data', 'tideway.db'))
  database.exec('DELETE FROM changes; UPDATE counters SET floor = head')
}

test('who was away for longer than changes are kept lists again, and goes on from there', async (t) => {
  const { histories, watchers } = await openWatchers(t, 'forgotten')
  await write(histories, 12)
  await untilSeen(watchers, patienceSeconds)
  for (const watcher of watchers) watcher.pause()
  await plane.stop('SIGTERM')
  await plane.start()
  await write(histories, 33)
  await plane.stop('SIGTERM')
  forgetChanges()
  await plane.start()
  for (const watcher of watchers) watcher.resume()
  const again = ({ lists }: Watcher) => lists > 1
  await until('all have listed again', () => watchers.every(again), patienceSeconds)
  await untilSeen(watchers, patienceSeconds)
  await write(histories, 12)
  await untilSeen(watchers, patienceSeconds)
  for (const { name, history, seen, lists } of watchers) {
    t.diagnostic(`${name}: ${lists} lists`)
    assert.deepEqual(judgeOutcome(history, seen), [], name)
    if (history.target.kind === 'Secret') assert.deepEqual(seen.slice(-12), history.written.slice(-12), name)
  }
})

test("client-go's server-side apply, conflicts and lists", async (t) => {
  const env = { ...process.env, KUBECONFIG: plane.kubeconfig }
  await report(t, await runCommand([go, 'apply', 'applied'], { env }))
})
