// kubelogin, the usual login of kubectl at OpenID Connect providers, against a provider that owes nothing to us. By
// hand: npm run test:peers; needs Go. Less than a minute after the builds.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { openProvider, type TestProvider } from '../../src/cli/commands/provider-fixture.ts'
import { until } from '../system/stack/world.ts'
import { openControlPlane, type ControlPlane } from '../watches/control-plane.ts'
import { buildKubectl, installKubelogin } from './programs.ts'

const namespace = 'riptides-system'
const core = 'core.riptides.io/v1alpha1'
const services = 'services.core.riptides.io'

let kubectl: string
let kubelogin: string
let plane: ControlPlane
let provider: TestProvider
const stack = new AsyncDisposableStack()

async function create(group: string, plural: string, object: object): Promise<void> {
  const { status, body } = await plane.call('POST', `/apis/${group}/namespaces/${namespace}/${plural}`, {
    apiVersion: group,
    ...object,
  })
  assert.equal(status, 201, JSON.stringify(body))
}

before(async () => {
  kubectl = await buildKubectl()
  kubelogin = await installKubelogin()
  provider = stack.use(await openProvider())
  plane = stack.use(await openControlPlane())
  const oidc = {
    issuer: provider.issuer,
    audiences: ['tideway'],
    usernameClaim: 'email',
    groupsClaim: 'groups',
    caBundle: provider.caPem,
  }
  writeFileSync(caFile(), provider.caPem!)
  await create(core, 'identityproviders', {
    kind: 'IdentityProvider',
    metadata: { name: 'corp' },
    spec: { name: 'Example Corp', oidc },
  })
  const rbac = 'rbac.authorization.k8s.io'
  await create(`${rbac}/v1`, 'rolebindings', {
    kind: 'RoleBinding',
    metadata: { name: 'developers' },
    subjects: [{ apiGroup: rbac, kind: 'Group', name: 'corp:dev' }],
    roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: 'viewer' },
  })
  await until('the provider is trusted', async () => {
    const { body } = await plane.call('GET', `/apis/${core}/namespaces/${namespace}/identityproviders/corp`)
    return (body as { status?: { state?: string } }).status?.state === 'AVAILABLE'
  })
})
after(() => stack.disposeAsync())

/** Of the provider's authority. */
const caFile = () => path.join(plane.folder, 'provider-ca.pem')

/** A kubeconfig whose user logs in by kubelogin, in its way `grant`. */
function kubeconfigOf(person: string, grant: string): string {
  const args = [
    'get-token',
    `--oidc-issuer-url=${provider.issuer}`,
    '--oidc-client-id=tideway',
    `--certificate-authority=${caFile()}`,
    ...['email', 'groups', 'offline_access'].map((scope) => `--oidc-extra-scope=${scope}`),
    '--oidc-auth-request-extra-params=prompt=consent',
    `--grant-type=${grant}`,
    '--skip-open-browser',
    '--listen-address=127.0.0.1:0',
    `--token-cache-dir=${path.join(plane.folder, person)}`,
  ]
  const exec = {
    apiVersion: 'client.authentication.k8s.io/v1',
    command: kubelogin,
    args,
    interactiveMode: 'Never',
  }
  const cluster = {
    server: plane.url,
    'certificate-authority-data': Buffer.from(plane.caPem).toString('base64'),
  }
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'tideway', cluster }],
    users: [{ name: person, user: { exec } }],
    contexts: [{ name: 'work', context: { cluster: 'tideway', user: person, namespace } }],
    'current-context': 'work',
  }
  const file = path.join(plane.folder, `${person}.json`)
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 })
  return file
}

/** Runs kubectl; the person goes where kubelogin sends to. */
async function run(kubeconfig: string, person: string, ...args: readonly string[]) {
  const env = { PATH: process.env['PATH'], HOME: plane.folder, KUBECONFIG: kubeconfig }
  const child = spawn(kubectl, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const said: string[] = []
  const pages: Promise<string>[] = []
  const reading = (async () => {
    for await (const line of createInterface(child.stderr)) {
      said.push(line)
      const [url] = /https?:\/\/(?:localhost|127\.0\.0\.1):\S+/.exec(line) ?? []
      if (line.includes('Please visit') && url !== undefined) pages.push(provider.browse(url, person))
    }
  })()
  const stdout = await text(child.stdout)
  await reading
  await Promise.all(pages)
  return { stdout, stderr: said.join('\n'), logins: pages.length }
}

for (const [person, grant, how] of [
  ['ada', 'authcode', 'in a browser (authorization code with PKCE)'],
  ['eve', 'device-code', 'on another device'],
] as const) {
  test(`who logs in ${how} may do what the roles of the groups say`, async () => {
    const kubeconfig = kubeconfigOf(person, grant)
    const first = await run(kubeconfig, person, 'auth', 'whoami', '-o', 'json')
    assert.equal(first.logins, 1, first.stderr)
    const { userInfo } = (JSON.parse(first.stdout) as { status: { userInfo: object } }).status
    assert.partialDeepStrictEqual(userInfo, {
      username: `corp:${person}@example.org`,
      groups: ['corp:dev', 'system:authenticated'],
    })
    const list = await run(kubeconfig, person, 'get', services)
    assert.equal(list.logins, 0, 'the token is kept')
    assert.match(list.stderr, /^No resources found in riptides-system namespace/m)
    const refused = await run(kubeconfig, person, 'delete', services, 'one')
    assert.ok(
      refused.stderr.includes(
        `(Forbidden): ${services} "one" is forbidden: User "corp:${person}@example.org"`,
      ),
      refused.stderr,
    )
  })
}

test('a token that expired is refreshed without another login', async () => {
  provider.life.idToken = 1
  const kubeconfig = kubeconfigOf('tim', 'authcode')
  const first = await run(kubeconfig, 'tim', 'get', services)
  assert.equal(first.logins, 1, first.stderr)
  provider.life.idToken = 3600
  const again = await run(kubeconfig, 'tim', 'get', services)
  assert.equal(again.logins, 0, again.stderr)
  assert.match(again.stderr, /^No resources found/m)
})
