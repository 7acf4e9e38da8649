// What kubectl has learned since 1.20, or asks in another way now.
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { decodeJwt } from 'jose'
import { openPlace, type Place } from '../system/kubectl/kubectl.ts'

const options = { timeout: 300_000 }
const core = 'core.riptides.io/v1alpha1'
const services = 'services.core.riptides.io'

interface Stored {
  metadata: { uid: string; managedFields?: { manager: string; operation: string }[] }
  spec: { labels: Record<string, string> }
}

interface Bench extends Place {
  /** A file with this content, in a folder of its own. */
  readonly file: (content: object | string, name?: string) => string
  readonly get: (name: string) => Promise<Stored>
}

const service = (name: string, labels: Record<string, string>, metadata: object = {}) => ({
  apiVersion: core,
  kind: 'Service',
  metadata: { name, ...metadata },
  spec: { labels, addresses: [{ address: `${name}.example.org`, port: 443 }], external: true },
})

async function openBench(t: TestContext, kubectl: string): Promise<Bench> {
  const place = await openPlace(t, kubectl)
  const folder = mkdtempSync(path.join(tmpdir(), 'tideway-kubectl-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  let files = 0
  return {
    ...place,
    file(content, name = 'object.yaml') {
      const own = path.join(folder, String(files++))
      mkdirSync(own)
      const file = path.join(own, name)
      writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content))
      return file
    },
    async get(name) {
      const stdout = await place.read('get', services, name, '-o', 'json', '--show-managed-fields')
      return JSON.parse(stdout) as Stored
    },
  }
}

/** Tests with the kubectl that `install` gives. */
export function testNews(name: string, install: () => Promise<string>): void {
  const check = (behaviour: string, body: (bench: Bench) => Promise<void>): void => {
    void test(`${name}: ${behaviour}`, options, async (t) => body(await openBench(t, await install())))
  }

  check('goes over from applying on the client to applying on the server', async ({ read, file, get }) => {
    await read('apply', '-f', file(service('a', { app: 'a', tier: 'front' })))
    const applied = await read('apply', '--server-side', '-f', file(service('a', { app: 'b' })))
    assert.match(applied, /a serverside-applied/)
    const { metadata, spec } = await get('a')
    assert.deepEqual(spec.labels, { app: 'b' }, 'what was applied before and is not any more is gone')
    const managers = metadata.managedFields!.map(({ manager, operation }) => `${manager} ${operation}`)
    assert.ok(managers.includes('kubectl Apply'), managers.join())
    assert.ok(!managers.includes('kubectl-client-side-apply Update'), managers.join())
  })

  check('shows what an apply on the server would change, and conflicts', async ({ run, read, file }) => {
    await read('apply', '--server-side', '-f', file(service('a', { app: 'a' })))
    const other = file(service('a', { app: 'b' }))
    const { code, stdout } = await run('diff', '--server-side', '-f', other)
    assert.equal(code, 1, stdout)
    assert.match(stdout, /^\+ +app: b$/m)
    const conflict = await run('apply', '--server-side', '--field-manager=other', '-f', other)
    assert.match(conflict.stderr, /conflict with "kubectl": \.spec\.labels\.app/)
    await read('apply', '--server-side', '--field-manager=other', '--force-conflicts', '-f', other)
    assert.equal((await run('diff', '--server-side', '--field-manager=other', '-f', other)).code, 0)
  })

  check('deletes with dependents, without, and leaving them', async ({ run, read, file, get }) => {
    for (const [cascade, child] of [
      ['background', 'goes'],
      ['foreground', 'goes'],
      ['orphan', 'stays'],
    ] as const) {
      await read('create', '-f', file(service('owner', { app: 'a' })))
      const { uid } = (await get('owner')).metadata
      const ownerReferences = [
        { apiVersion: core, kind: 'Service', name: 'owner', uid, blockOwnerDeletion: true },
      ]
      await read('create', '-f', file(service('child', { app: 'a' }, { ownerReferences })))
      assert.match(await read('delete', services, 'owner', `--cascade=${cascade}`), /"owner" deleted/)
      if (child === 'goes') await read('wait', `${services}/child`, '--for=delete', '--timeout=60s')
      else {
        assert.equal((await run('get', services, 'owner')).code, 1)
        assert.ok(!('ownerReferences' in (await get('child')).metadata))
      }
    }
  })

  check('waits for what is created, for conditions, fields and deletion', async ({ run, read, file }) => {
    const waiting = run('wait', `${services}/a`, '--for=create', '--timeout=60s')
    await read('create', '-f', file(service('a', { app: 'a' })))
    assert.equal((await waiting).code, 0, (await waiting).stderr)
    for (const goal of [
      'condition=Ready',
      'condition=Bound=False',
      'jsonpath={.status.state}=OK',
      'jsonpath={.status.conditions[?(@.type=="Ready")].status}=True',
    ]) {
      assert.match(
        await read('wait', `${services}/a`, `--for=${goal}`, '--timeout=60s'),
        /condition met/,
        goal,
      )
    }
    const late = await run('wait', `${services}/a`, '--for=condition=Stalled', '--timeout=1s')
    assert.match(late.stderr, /timed out waiting for the condition/)
    const gone = run('wait', `${services}/a`, '--for=delete', '--timeout=60s')
    await read('delete', services, 'a', '--wait=false')
    assert.equal((await gone).code, 0)
  })

  check(
    'replaces, patches a subresource, and is told of what is there already',
    async ({ run, read, file, get }) => {
      const made = file(service('a', { app: 'a' }))
      await read('create', '-f', made)
      assert.match((await run('create', '-f', made)).stderr, /\(AlreadyExists\)/)
      const { uid } = (await get('a')).metadata
      assert.match(await read('replace', '-f', file(service('a', { app: 'b' }))), /replaced/)
      assert.equal((await get('a')).metadata.uid, uid)
      assert.match(await read('replace', '--force', '-f', made), /replaced/)
      assert.notEqual((await get('a')).metadata.uid, uid)
      await read('wait', `${services}/a`, '--for=condition=Ready', '--timeout=60s')
      assert.match(
        await read('get', services, 'a', '--subresource=status', '-o', 'jsonpath={.status.state}'),
        /OK/,
      )
      const state = ['patch', services, 'a', '--type=merge', '-p', '{"status":{"state":"FAILED"}}']
      assert.match(await read(...state), /no change/, 'a state is no part of the object itself')
      await read('annotate', services, 'a', 'note=1')
      assert.match((await run('annotate', services, 'a', 'note=2')).stderr, /overwrite is false/)
      await read('annotate', services, 'a', 'note=2', '--overwrite')
      assert.match(await read('annotate', services, 'a', '--list'), /^note=2$/m)
    },
  )

  check('applies a kustomization, and prunes what is no longer in it', async ({ run, read, file, get }) => {
    const kustomization = (resources: readonly object[]) => {
      const files = resources.map((resource, index) => [`${index}.yaml`, resource] as const)
      const list = {
        resources: files.map(([one]) => one),
        namePrefix: 'k-',
        labels: [{ pairs: { set: 'k' } }],
      }
      const folder = path.dirname(file(list, 'kustomization.yaml'))
      for (const [one, resource] of files) writeFileSync(path.join(folder, one), JSON.stringify(resource))
      return folder
    }
    const both = kustomization([service('a', { app: 'a' }), service('b', { app: 'b' })])
    assert.match(await read('apply', '-k', both), /k-a created\n.*k-b created/)
    assert.match(await read('get', '-k', both), /^k-a +a\.example\.org[^]*^k-b +/m)
    assert.equal((await run('diff', '-k', both)).code, 0)
    const prune = ['--prune', '-l', 'set=k', `--prune-allowlist=${core}/Service`]
    assert.match(
      await read('apply', '-k', kustomization([service('a', { app: 'a' })]), ...prune),
      /k-b pruned/,
    )
    assert.ok(await get('k-a'))
    assert.match(await read('delete', '-k', kustomization([service('a', { app: 'a' })])), /"k-a" deleted/)
  })

  check('asks what is in a file, and finds what is misspelt there', async ({ run, read, file }) => {
    const question = (resourceAttributes: object) =>
      file({
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SelfSubjectAccessReview',
        spec: { resourceAttributes },
      })
    const asked = question({ verb: 'get', group: 'core.riptides.io', resource: 'services' })
    assert.match(await read('create', '-f', asked, '-o', 'yaml'), /^ +allowed: true$/m)
    const misspelt = await run('create', '-f', question({ verb: 'get', resorce: 'services' }))
    assert.match(misspelt.stderr, /unknown field "resorce"/)
    assert.match(await read('explain', 'selfsubjectaccessreviews.spec'), /^ +resourceAttributes\t/m)
  })

  check('knows who somebody is and what he may', async ({ run, read }) => {
    assert.match(await read('auth', 'whoami'), /^Username +system:admin$/m)
    await read('create', 'serviceaccount', 'reader')
    await read(
      'create',
      'rolebinding',
      'reader',
      '--clusterrole=viewer',
      '--serviceaccount=riptides-system:reader',
    )
    const token = (await read('create', 'token', 'reader', '--duration=1h')).trim()
    const { sub, exp, iat } = decodeJwt(token)
    assert.deepEqual([sub, exp! - iat!], ['system:serviceaccount:riptides-system:reader', 3600])
    const as = [`--token=${token}`, '--kubeconfig', '/dev/null']
    const { stdout: config } = await run('config', 'view', '--raw', '-o', 'json')
    const { cluster } = (JSON.parse(config) as { clusters: { cluster: Record<string, string> }[] })
      .clusters[0]!
    const reader = (...args: string[]) =>
      run(
        ...args,
        ...as,
        `--server=${cluster['server']}`,
        '--insecure-skip-tls-verify',
        '-n',
        'riptides-system',
      )
    let answer = await reader('auth', 'can-i', 'list', services)
    // Roles take effect within a moment.
    for (let tries = 0; tries < 100 && answer.stdout !== 'yes\n'; tries++)
      answer = await reader('auth', 'can-i', 'list', services)
    assert.equal(answer.stdout, 'yes\n', answer.stderr)
    assert.equal((await reader('auth', 'can-i', 'create', services)).stdout, 'no\n')
    assert.match(
      (await reader('auth', 'can-i', '--list')).stdout,
      /services\.core\.riptides\.io +\[\] +\[\] +\[get list watch\]/,
    )
    assert.match(
      (await reader('auth', 'whoami')).stdout,
      /Username +system:serviceaccount:riptides-system:reader/,
    )
    assert.equal((await read('auth', 'can-i', '*', '*')).trim(), 'yes')
  })

  check('finds its way by discovery, explanations and events', async ({ run, read, file }) => {
    assert.match(await read('api-versions'), /^core\.riptides\.io\/v1alpha1$/m)
    const resources = await read('api-resources', '--api-group=core.riptides.io', '-o', 'wide')
    assert.match(
      resources,
      /^services +svc +core\.riptides\.io\/v1alpha1 +true +Service +create,delete,.*watch/m,
    )
    const field = ['explain', 'credentialbinding.spec.propagation.injection']
    assert.match(await read(...field), /KIND: +CredentialBinding[^]*FIELDS:[^]*selectors/)
    assert.match(
      await read(...field, '--output=plaintext-openapiv2'),
      /KIND: +CredentialBinding[^]*selectors/,
    )
    // It cannot read its own version: this build has none.
    assert.match((await run('version')).stdout, /Server Version: v1\.\d+\.\d+\+tideway/)
    await read('create', '-f', file(service('a', { app: 'a' })))
    await read('wait', `${services}/a`, '--for=condition=Ready', '--timeout=60s')
    let events = ''
    // Recorded just after the state was written.
    for (let looks = 0; looks < 100 && !events.includes('NoBinding'); looks++)
      events = await read('events', '--for', 'service.core.riptides.io/a')
    assert.match(events, /Normal +NoBinding +Service\/a/)
    assert.match(await read('describe', services, 'a'), /Events:[^]*NoBinding/)
  })
}
