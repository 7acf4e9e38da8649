// A control plane as a process, which can be killed: it comes back at the same address, one of its own.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, openSync, closeSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { Secret } from '#base/secret'
import { loadContexts } from '#cli/context'
import { openServerClient, type TestServer } from '../../src/server/program/fixture.ts'
import { until } from '../system/stack/world.ts'

const tideway = path.resolve(import.meta.dirname, '../../bin/tideway')

export interface ControlPlane extends AsyncDisposable, Pick<TestServer, 'call'> {
  readonly folder: string
  readonly url: string
  readonly caPem: string
  readonly token: string
  /** The file of contexts, which is a kubeconfig of the administrator. */
  readonly kubeconfig: string
  stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>
  /** Resolves when it is ready. */
  start(): Promise<void>
}

/** Of this process alone, so that a port stays free while nobody listens. */
function ownAddress(): string {
  const { pid } = process
  return `127.${64 + ((pid >> 16) & 63)}.${(pid >> 8) & 255}.${pid & 255}`
}

export async function openControlPlane(): Promise<ControlPlane> {
  await using starting = new AsyncDisposableStack()
  const folder = mkdtempSync(path.join(tmpdir(), 'tideway-peer-'))
  starting.defer(() => rmSync(folder, { recursive: true, force: true }))
  const kubeconfig = path.join(folder, 'contexts.yaml')
  const log = path.join(folder, 'server.log')
  const address = ownAddress()
  let listen = `${address}:0`
  let child: ChildProcess | undefined

  function launch(): void {
    const output = openSync(log, 'a', 0o600)
    const flags = [`--data-dir=${folder}/data`, `--listen=${listen}`, '--trust-domain=example.org']
    const others = [`--node-listen=${address}:0`, `--health-listen=${address}:0`]
    child = spawn(tideway, ['server', ...flags, ...others], {
      env: { ...process.env, TIDEWAY_CONTEXTS: kubeconfig },
      stdio: ['ignore', output, output],
    })
    closeSync(output)
  }
  async function stop(signal: NodeJS.Signals): Promise<void> {
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill(signal)
    await exited
  }
  starting.defer(() => stop('SIGTERM'))
  const untilSaid = (what: string, probe: () => boolean | Promise<boolean>) =>
    until(what, () => {
      if (child!.exitCode !== null) throw new Error(`the server has ended:\n${readFileSync(log, 'utf8')}`)
      return probe()
    })

  launch()
  await untilSaid('the administrator has access', () => existsSync(kubeconfig))
  const { server: url, caPem, token } = loadContexts(kubeconfig).contexts[0]!
  listen = new URL(url).host
  const access = { token: Secret.of(token!), caPem: caPem! }
  const { call } = openServerClient({ url }, access, async () => {})
  const isThere = () =>
    call('GET', '/api').then(
      ({ status }) => status === 200,
      () => false,
    )
  await untilSaid('the server answers', isThere)
  const owned = starting.move()
  return {
    folder,
    url,
    caPem: caPem!,
    token: token!,
    kubeconfig,
    call,
    stop,
    async start() {
      launch()
      await untilSaid('the server answers', isThere)
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}
