import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import process from 'node:process'
import { text } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import { parse, stringify } from 'yaml'
import { openCliBed, serviceManifest, type CliBed } from '../../../src/cli/commands/fixture.ts'
import { debianKubectl, type Outcome } from './kubectl.ts'

const home = 'riptides-system'

describe('kubectl 1.20 and who may do what', () => {
  const stack = new AsyncDisposableStack()
  let bed: CliBed
  let kubectl: string

  before(async () => {
    bed = stack.use(await openCliBed())
    kubectl = await debianKubectl()
  })
  after(() => stack.disposeAsync())

  function run(kubeconfig: string, ...args: string[]): Promise<Outcome> {
    const env = { PATH: process.env['PATH'], HOME: bed.folder, KUBECONFIG: kubeconfig }
    return new Promise((resolve) => {
      execFile(kubectl, args, { env }, (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
      )
    })
  }

  async function mustRun(kubeconfig: string, ...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await run(kubeconfig, ...args)
    assert.equal(code, 0, `kubectl ${args.join(' ')}\n${stdout}${stderr}`)
    return stdout
  }

  /** The kubeconfig of a service account, made by kubectl alone. */
  async function accountConfig(name: string, role: string): Promise<string> {
    const admin = bed.contexts
    await mustRun(admin, 'create', 'serviceaccount', name)
    const subject = `--serviceaccount=${home}:${name}`
    await mustRun(admin, 'create', 'rolebinding', name, `--clusterrole=${role}`, subject)
    const child = spawn(
      kubectl,
      ['create', '--raw', `/api/v1/namespaces/${home}/serviceaccounts/${name}/token`, '-f', '-'],
      { env: { ...process.env, KUBECONFIG: admin }, stdio: ['pipe', 'pipe', 'inherit'] },
    )
    child.stdin.end(
      JSON.stringify({ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} }),
    )
    const { status } = JSON.parse(await text(child.stdout)) as { status: { token: string } }
    const config = parse((await bed.run(['context', 'kubeconfig'])).stdout) as { users: { user: object }[] }
    config.users[0]!.user = { token: status.token }
    return bed.file(`${name}.yaml`, stringify(config))
  }

  test('the kubeconfig that is printed works as it is, and so does the file of contexts', async () => {
    await bed.run(['ctl', 'apply', '-f', await bed.file('one.yaml', serviceManifest('one'))])
    const printed = await bed.run(['context', 'kubeconfig'])
    const file = path.join(bed.folder, 'printed.yaml')
    await writeFile(file, printed.stdout, { mode: 0o600 })
    for (const config of [file, bed.contexts]) {
      assert.match(await mustRun(config, 'get', 'services.core.riptides.io'), /^NAME +.*\none +/)
    }
  })

  test('auth can-i answers for the administrator and for others, one by one and as a list', async () => {
    const viewer = await accountConfig('viewer', 'viewer')
    const canI = async (config: string, ...args: string[]) =>
      (await run(config, 'auth', 'can-i', ...args)).stdout
    assert.equal(await canI(bed.contexts, 'delete', 'secrets'), 'yes\n')
    assert.equal(await canI(bed.contexts, 'get', '/audit'), 'yes\n')
    while ((await canI(viewer, 'list', 'services.core.riptides.io')) !== 'yes\n');
    assert.equal(await canI(viewer, 'create', 'services.core.riptides.io'), 'no\n')
    assert.equal(await canI(viewer, 'get', 'secrets'), 'no\n')
    assert.equal(await canI(viewer, 'get', '/audit'), 'no\n')
    const list = await canI(viewer, '--list')
    assert.match(list, /services\.core\.riptides\.io +\[\] +\[\] +\[get list watch\]/)
    assert.match(list, /\[\/apis\/\*\]/)
    assert.match(await canI(bed.contexts, '--list'), /\*\.\* +\[\] +\[\] +\[\*\]/)
  })

  test('a refusal reads as it does from Kubernetes', async () => {
    const viewer = await accountConfig('refused', 'viewer')
    const { code, stderr } = await run(viewer, 'get', 'secrets')
    assert.equal(code, 1)
    assert.equal(
      stderr,
      'Error from server (Forbidden): secrets is forbidden: User "system:serviceaccount:riptides-system:refused" ' +
        'cannot list resource "secrets" in API group "" in the namespace "riptides-system"\n',
    )
  })

  test('requests as somebody else may do what he may', async () => {
    await accountConfig('other', 'viewer')
    const as = (...args: string[]) => run(bed.contexts, ...args, `--as=system:serviceaccount:${home}:other`)
    while ((await as('auth', 'can-i', 'list', 'services.core.riptides.io')).stdout !== 'yes\n');
    assert.equal((await as('auth', 'can-i', 'delete', 'services.core.riptides.io')).stdout, 'no\n')
    assert.match(
      (await as('get', 'secrets')).stderr,
      /User "system:serviceaccount:riptides-system:other" cannot/,
    )
    const viewer = await accountConfig('ordinary', 'viewer')
    const refused = await run(viewer, 'get', '--raw', '/version', '--as=system:admin')
    assert.match(refused.stderr, /ordinary" cannot impersonate resource "users"/)
  })

  test('roles and bindings are made by kubectl, and nobody gives more than he has', async () => {
    const admin = await accountConfig('boss', 'admin')
    await mustRun(bed.contexts, 'get', 'clusterroles,clusterrolebindings')
    const resource = '--resource=services.core.riptides.io'
    for (;;) {
      const { code, stderr } = await run(admin, 'create', 'role', 'reader', '--verb=get,list', resource)
      if (code === 0) break
      assert.match(stderr, /Forbidden/)
    }
    await mustRun(admin, 'create', 'rolebinding', 'readers', '--role=reader', '--user=corp:ada')
    const refused = await run(
      admin,
      'create',
      'rolebinding',
      'up',
      '--clusterrole=cluster-admin',
      '--user=corp:ada',
    )
    assert.match(
      refused.stderr,
      /is forbidden: user "system:serviceaccount:riptides-system:boss" .* is attempting to grant RBAC permissions not currently held/,
    )
    const all = await run(
      admin,
      'create',
      'clusterrolebinding',
      'up',
      '--clusterrole=viewer',
      '--user=corp:ada',
    )
    assert.match(all.stderr, /cannot create resource "clusterrolebindings"/)
  })
})
