// An informer of the client that people use, and what it tells.
import { setTimeout as delay } from 'node:timers/promises'
import {
  KubeConfig,
  makeInformer,
  type KubernetesListObject,
  type KubernetesObject,
} from '@kubernetes/client-node'

export interface Follower extends AsyncDisposable {
  /** As a history has it. */
  readonly seen: readonly string[]
  /** Resolves when it has seen the object named `end`. */
  readonly ended: Promise<void>
}

export function configFor(url: string, { caPem, token }: { caPem: string; token: string }): KubeConfig {
  const config = new KubeConfig()
  const caData = Buffer.from(caPem).toString('base64')
  config.loadFromClusterAndUser(
    { name: 'tideway', server: url, caData, skipTLSVerify: false },
    { name: 'admin', token },
  )
  return config
}

/** Follows the collection at `path` until it is disposed of, however often the server goes away. */
export async function follow(
  config: KubeConfig,
  path: string,
  list: () => Promise<KubernetesListObject<KubernetesObject>>,
): Promise<Follower> {
  const informer = makeInformer(config, path, list)
  const seen: string[] = []
  const end = Promise.withResolvers<void>()
  const told = (type: string) => (object: KubernetesObject) => {
    const { name, labels, resourceVersion } = object.metadata!
    if (name === 'end') end.resolve()
    else seen.push(`${type} ${name} ${labels?.['step']} ${resourceVersion}`)
  }
  informer.on('add', told('add'))
  informer.on('update', told('update'))
  informer.on('delete', ({ metadata }) => seen.push(`delete ${metadata?.name}`))
  let stopped = false
  const retry = async () => {
    await delay(100)
    if (!stopped) await informer.start()
  }
  informer.on('error', () => void retry())
  await informer.start()
  return {
    seen,
    ended: end.promise,
    async [Symbol.asyncDispose]() {
      stopped = true
      await informer.stop()
    },
  }
}
