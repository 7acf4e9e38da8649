// A node with a clock of its own before a fake control plane: for the tests of this folder.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { openTestClock, type TestClock } from '#base/clock'
import { silentLog } from '#base/log'
import { Secret } from '#base/secret'
import { openFakeControlPlane, type FakeControlPlane } from '#daemon/fake-control-plane'
import { applyScopeUpdate, emptyScope, type ScopeUpdate } from '#model/scope'
import { runStream, type DaemonReport, type Lease, type Node, type NodeSettings } from './index.ts'

type Service = (options: { signal: AbortSignal }) => Promise<void>

export const nothing = { identities: [], services: [], bindings: [], credentials: [] }
/** The whole of a scope, which is empty, and then changes of nothing. */
export const update = (revision: number): ScopeUpdate => ({
  revision,
  reset: revision === 1,
  upsert: nothing,
  remove: nothing,
})

export async function openSetting(t: TestContext, options: { nodeHost?: string } = {}) {
  const server = await openFakeControlPlane(options)
  const stateDir = await mkdtemp(join(tmpdir(), 'tideway-'))
  const stop = new AbortController()
  const running: Promise<void>[] = []
  t.after(async () => {
    stop.abort()
    await Promise.all(running)
    await server[Symbol.asyncDispose]()
    await rm(stateDir, { recursive: true })
  })
  // Real certificates are judged by real time, so the test's clock starts there.
  const clock = openTestClock(Date.now())
  const settings: NodeSettings = {
    stateDir,
    server: server.url,
    caHash: server.caHash,
    readJoinToken: async () => Secret.of(server.token),
    hostname: 'host',
    version: '0.1.0',
    clock,
    log: silentLog,
    random: () => 0,
  }
  const run = (service: Service) => {
    running.push(service({ signal: stop.signal }))
  }
  return { server, stateDir, settings, clock, run }
}

/** Follows the server and keeps what happens. */
export function follow(
  { server, clock, run }: { server: FakeControlPlane; clock: TestClock; run: (service: Service) => void },
  node: Node,
  lease: Lease,
  random = () => 0,
) {
  const applied: number[] = []
  let scope = emptyScope
  const refused = { count: 0 }
  const board: { conditions: DaemonReport['conditions'] } = { conditions: [] }
  let failure: Error | undefined
  run(({ signal }) =>
    runStream({
      node,
      lease,
      introduction: { version: '0.1.0', captureLevel: 'user', captureDetail: 'a test', metadata: { a: 'b' } },
      async onUpdate(update) {
        if (failure) throw failure
        applied.push(update.revision)
        scope = applyScopeUpdate(scope, update)
        return { ready: Promise.resolve() }
      },
      onRefused: () => refused.count++,
      onConnected: () => {},
      report: () => ({ daemonHealth: 'ok', captureHealth: 'ok', conditions: board.conditions }),
      clock,
      log: silentLog,
      random,
      signal,
    }),
  )
  const acknowledged = () =>
    server.reports.flatMap(({ body }) =>
      body.case === 'acknowledge' ? [{ revision: Number(body.value.revision), error: body.value.error }] : [],
    )
  const failWith = (error: Error | undefined) => (failure = error)
  return { applied, scope: () => scope, refused, board, acknowledged, failWith }
}
