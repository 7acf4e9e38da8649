// client-go and the Python client watch while the server is killed, stopped and started again, and while it forgets
// what they have not seen. By hand: npm run test:peers; needs Go and pip. Two minutes after the builds, for clients
// wait ever longer before they come back.
import assert from 'node:assert/strict'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, before, test, type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { mustRun } from '../rgw/command.ts'
import { until } from '../system/stack/world.ts'
import { openHistory, secretsIn, servicesIn, type History } from '../watches/history.ts'
import { judge, judgeOutcome } from '../watches/judgement.ts'
import { openControlPlane, type ControlPlane } from './control-plane.ts'
import { buildClientGo, installKubernetesClient } from './programs.ts'
import { report } from './report.ts'
import { startWatcher, watchersOf, type Watcher } from './watchers.ts'

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

async function openWatchers(t: TestContext, namespace: string) {
  const secrets = openHistory(plane.call, secretsIn(namespace))
  const services = openHistory(plane.call, servicesIn(namespace))
  const options = watchersOf({ go, python, plane }, { namespace, secrets, services })
  const watchers = await Promise.all(options.map((one) => startWatcher(plane, one)))
  for (const watcher of watchers) t.after(() => watcher[Symbol.asyncDispose]())
  return { histories: [secrets, services], watchers }
}

async function write(histories: readonly History[], count: number): Promise<void> {
  for (const history of histories) for (let left = count; left > 0; left -= 1) await history.write()
}

async function untilSeen(watchers: readonly Watcher[]): Promise<void> {
  for (const { name, history, seen } of watchers) {
    const last = history.written.at(-1)!
    // A Service may have got its state meanwhile.
    const [, named, step] = last.split(' ')
    const isLast = (line: string) =>
      line === last || (line.startsWith('update') && line.includes(` ${named} ${step} `))
    await until(`${name} has seen: ${last}`, () => seen.some(isLast), patienceSeconds)
  }
}

test('nothing is missed and nothing seen twice through kills and restarts', async (t) => {
  const { histories, watchers } = await openWatchers(t, 'restarted')
  for (const end of ends) {
    await write(histories, 12)
    await untilSeen(watchers)
    const writing = write(histories, 30)
    await delay(100)
    await plane.stop(end)
    await plane.start()
    await writing
  }
  await untilSeen(watchers)
  for (const { name, history, seen, lists } of watchers) {
    t.diagnostic(`${name}: ${seen.length} changes, ${lists} lists`)
    const found = lists === 1 ? judge(history, seen) : judgeOutcome(history, seen)
    assert.deepEqual(found, [], name)
  }
  assert.ok(watchers.some(({ lists }) => lists === 1))
})

/** What the store does by itself after tens of thousands of writes. */
function forgetChanges(): void {
  using database = new DatabaseSync(path.join(plane.folder, 'data', 'tideway.db'))
  database.exec('DELETE FROM changes; UPDATE counters SET floor = head')
}

test('who was away for longer than changes are kept lists again, and goes on from there', async (t) => {
  const { histories, watchers } = await openWatchers(t, 'forgotten')
  await write(histories, 12)
  await untilSeen(watchers)
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
  await untilSeen(watchers)
  await write(histories, 12)
  await untilSeen(watchers)
  for (const { name, history, seen, lists } of watchers) {
    t.diagnostic(`${name}: ${lists} lists`)
    assert.deepEqual(judgeOutcome(history, seen), [], name)
    if (history.target.kind === 'Secret') assert.deepEqual(seen.slice(-12), history.written.slice(-12), name)
  }
})

test("client-go's server-side apply, conflicts and lists", async (t) => {
  const env = { ...process.env, KUBECONFIG: plane.kubeconfig }
  await report(t, await mustRun([go, 'apply', 'applied'], { env }))
})
