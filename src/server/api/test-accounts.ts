import { rbac } from './test-objects.ts'
import { openTestServer, type TestServer } from './test-server.ts'

const home = 'riptides-system'

export interface Rule {
  verbs: string[]
  apiGroups?: string[]
  resources?: string[]
  resourceNames?: string[]
  nonResourceURLs?: string[]
}

/** A server, and service accounts of it that may do what a test lets them. */
export async function openHall(): Promise<TestServer & { account: typeof account; until: typeof until }> {
  const server = await openTestServer()

  async function token(name: string): Promise<string> {
    const path = `/api/v1/namespaces/${home}/serviceaccounts/${name}/token`
    const answer = await server.ask('POST', path, { body: {} })
    return (JSON.parse(answer.body) as { status: { token: string } }).status.token
  }

  /** Asks until the answer is one that is waited for: rights take effect a moment after they are written. */
  async function until(ask: () => ReturnType<TestServer['ask']>, status: number) {
    for (;;) {
      const answer = await ask()
      if (answer.status === status) return answer
    }
  }

  /** A new account with a role of these rules, in its namespace or everywhere. */
  async function account(name: string, rules: Rule[], { everywhere = false } = {}) {
    await server.client.create({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name } })
    const [role, binding] = everywhere
      ? (['ClusterRole', 'ClusterRoleBinding'] as const)
      : (['Role', 'RoleBinding'] as const)
    await server.client.create({ apiVersion: rbac, kind: role, metadata: { name }, rules })
    await server.client.create({
      apiVersion: rbac,
      kind: binding,
      metadata: { name },
      subjects: [{ kind: 'ServiceAccount', name, namespace: home }],
      roleRef: { kind: role as 'ClusterRole', name },
    })
    const authorization = `Bearer ${await token(name)}`
    const ask = (method: string, path: string, body?: unknown) =>
      server.ask(method, path, { authorization, ...(body !== undefined && { body }) })
    const review = (verb: string, resource: string, group: string) =>
      ask('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', {
        spec: { resourceAttributes: { verb, resource, group, namespace: home } },
      })
    const selfReviews = { verbs: ['create'], apiGroups: ['authorization.k8s.io'], resources: ['*'] }
    await server.client
      .create({ apiVersion: rbac, kind: 'ClusterRole', metadata: { name: 'reviews' }, rules: [selfReviews] })
      .catch(() => {})
    await server.client.create({
      apiVersion: rbac,
      kind: 'ClusterRoleBinding',
      metadata: { name: `${name}-reviews` },
      subjects: [{ kind: 'ServiceAccount', name, namespace: home }],
      roleRef: { kind: 'ClusterRole', name: 'reviews' },
    })
    await until(() => review('get', 'services', 'core.riptides.io'), 201)
    return { authorization, ask, review }
  }

  return Object.assign(server, { account, until })
}
