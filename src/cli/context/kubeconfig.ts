import path from 'node:path'
import { defaultNamespace } from '#model/resource'

/** The parts of a kubeconfig (client-go's clientcmd/api/v1) that matter here; others are kept as they are. */
export interface Kubeconfig {
  readonly apiVersion: 'v1'
  readonly kind: 'Config'
  readonly 'current-context'?: string
  readonly clusters: readonly {
    readonly name: string
    readonly cluster: { readonly server: string; readonly 'certificate-authority-data'?: string }
  }[]
  readonly users: readonly { readonly name: string; readonly user: KubeconfigUser }[]
  readonly contexts: readonly {
    readonly name: string
    readonly context: { readonly cluster: string; readonly user: string; readonly namespace?: string }
  }[]
}

export interface KubeconfigUser {
  /** A bearer token. */
  readonly token?: string
  /** A program that prints one (client.authentication.k8s.io ExecCredential). */
  readonly exec?: {
    readonly apiVersion: string
    readonly command: string
    readonly args: readonly string[]
    readonly env: readonly { readonly name: string; readonly value: string }[]
    readonly interactiveMode: string
  }
}

/** One control plane as seen from here. */
export interface Context {
  readonly name: string
  /** Base URL of the HTTPS port, without a trailing slash. */
  readonly server: string
  /** A bearer token; absent where somebody logs in. */
  readonly token?: string
  /** PEM of the CA that signs the server's certificate; absent when a public CA does. */
  readonly caPem?: string
}

const launcher = path.resolve(import.meta.dirname, '../../../bin/tideway')

/**
 * A user whose tokens this program gives out, so that there is no secret in the file.
 * v1beta1 of the protocol: kubectl before 1.22 knows no other, and current ones still do.
 */
export function execUser(contextName: string, contextsFile: string): KubeconfigUser {
  return {
    exec: {
      apiVersion: 'client.authentication.k8s.io/v1beta1',
      command: launcher,
      args: ['context', 'credential', contextName],
      env: [{ name: 'TIDEWAY_CONTEXTS', value: path.resolve(contextsFile) }],
      interactiveMode: 'Never',
    },
  }
}

/** The entries of one context, all of its name. */
export function kubeconfigEntries({ name, server, caPem }: Context, user: KubeconfigUser) {
  const ca = caPem === undefined ? undefined : Buffer.from(caPem).toString('base64')
  return {
    cluster: { name, cluster: { server, ...(ca !== undefined && { 'certificate-authority-data': ca }) } },
    user: { name, user },
    context: { name, context: { cluster: name, user: name, namespace: defaultNamespace } },
  }
}

/** A kubeconfig of one context alone. */
export function kubeconfigOf(context: Context, user: KubeconfigUser): Kubeconfig {
  const entries = kubeconfigEntries(context, user)
  return {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': context.name,
    clusters: [entries.cluster],
    users: [entries.user],
    contexts: [entries.context],
  }
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''

/** Reads what a file holds. Contexts that say too little to be used are left out; undefined: not a kubeconfig. */
export function contextsOf(value: unknown): { config: Kubeconfig; contexts: Context[] } | undefined {
  const config = (value ?? {}) as Partial<Kubeconfig>
  const { kind, clusters, users, contexts } = config
  if (kind !== 'Config' || ![clusters, users, contexts].every(Array.isArray)) return undefined
  const found = contexts!.flatMap(({ name, context }): Context[] => {
    const cluster = clusters!.find((item) => item?.name === context?.cluster)?.cluster
    const user = users!.find((item) => item?.name === context?.user)?.user
    if (!isText(name) || !isText(cluster?.server) || !user) return []
    const ca = cluster['certificate-authority-data']
    return [
      {
        name,
        server: cluster.server,
        ...(isText(user.token) && { token: user.token }),
        ...(isText(ca) && { caPem: Buffer.from(ca, 'base64').toString() }),
      },
    ]
  })
  return { config: config as Kubeconfig, contexts: found }
}
