// Programs that watch the resource API and print what they are told.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { until } from '../system/stack/world.ts'
import type { ControlPlane } from './control-plane.ts'
import { sources } from './programs.ts'
import type { History } from '../watches/history.ts'

export interface Watcher extends AsyncDisposable {
  readonly name: string
  readonly history: History
  /** As a history has it. */
  readonly seen: readonly string[]
  /** Times that it asked for all there is. */
  readonly lists: number
  pause(): void
  resume(): void
}

export interface WatcherOptions {
  readonly name: string
  readonly command: readonly string[]
  readonly history: History
  readonly env?: NodeJS.ProcessEnv
}

/** Resolves when it has listed. */
export async function startWatcher(
  plane: ControlPlane,
  { name, command: [file, ...args], history, env }: WatcherOptions,
): Promise<Watcher> {
  const seen: string[] = []
  let lists = 0
  const child = spawn(file!, args, {
    env: { ...process.env, KUBECONFIG: plane.kubeconfig, ...env },
    // It complains whenever the server is away.
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  const exited = once(child, 'exit')
  createInterface(child.stdout).on('line', (line) => {
    if (line.startsWith('list')) lists += 1
    else if (!line.startsWith('add end ')) seen.push(line)
  })
  await until(`${name} has listed`, () => {
    if (child.exitCode !== null) throw new Error(`${name} has ended with ${child.exitCode}`)
    return lists > 0
  })
  return {
    name,
    history,
    seen,
    get lists() {
      return lists
    },
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await exited
    },
  }
}

/** client-go and the Python client, each in the ways in which it can watch; all Secrets, and Services with client-go. */
export function watchersOf(
  { go, python, plane }: { go: string; python: string; plane: ControlPlane },
  { namespace, secrets, services }: { namespace: string; secrets: History; services: History },
): readonly WatcherOptions[] {
  const informer = (version: string, resource: string) => [go, 'watch', version, resource, namespace]
  const script = path.join(sources, 'kubernetes_client.py')
  const inPython = (mode: string) => [python, script, mode, plane.kubeconfig, namespace]
  const streaming = { KUBE_FEATURE_WatchListClient: 'true' }
  const listing = { KUBE_FEATURE_WatchListClient: 'false' }
  const core = services.target.apiVersion
  return [
    {
      name: 'client-go, streaming lists',
      command: informer('v1', 'secrets'),
      history: secrets,
      env: streaming,
    },
    { name: 'client-go, lists', command: informer('v1', 'secrets'), history: secrets, env: listing },
    {
      name: 'client-go, streaming lists, of Services',
      command: informer(core, 'services'),
      history: services,
      env: streaming,
    },
    {
      name: 'client-go, lists, of Services',
      command: informer(core, 'services'),
      history: services,
      env: listing,
    },
    { name: 'a loop of the Python client', command: inPython('watch'), history: secrets },
    { name: 'an informer of the Python client', command: inPython('informer'), history: secrets },
  ]
}
