// What an operator writes with kubectl, whatever its release.
import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { openPlace, type Outcome, type Place } from './kubectl.ts'

const options = { timeout: 300_000 }

const core = 'core.riptides.io/v1alpha1'

interface Bench extends Place {
  /** A file with this content. */
  readonly file: (content: object | string) => string
  /** An object as JSON. */
  readonly get: (...args: string[]) => Promise<Stored>
  /** As the server sends it: newer releases leave out the managed fields. */
  readonly raw: (at: string) => Promise<Stored>
  readonly refused: (...args: string[]) => Promise<Outcome>
}

interface Stored {
  metadata: {
    labels?: Record<string, string>
    annotations?: Record<string, string>
    managedFields: { manager: string; operation: string }[]
    generation: number
    uid: string
  }
  spec: { labels: Record<string, string>; addresses?: { address: string }[] }
  status?: Record<string, unknown>
}

const service = (labels: Record<string, string>, metadata: object = {}) => ({
  apiVersion: core,
  kind: 'Service',
  metadata: { name: 'sts', ...metadata },
  spec: { labels, addresses: [{ address: 'sts.amazonaws.com', port: 443 }], external: true },
})

/** kubectl whose editor replaces one word by another. */
function withEditor(folder: string, kubectl: string): string {
  const editor = path.join(folder, 'editor')
  writeFileSync(editor, '#!/bin/sh\nexec sed -i s/before-the-edit/after-the-edit/ "$1"\n')
  const wrapper = path.join(folder, 'kubectl')
  writeFileSync(wrapper, `#!/bin/sh\nexport KUBE_EDITOR=${editor}\nexec ${kubectl} "$@"\n`)
  for (const file of [editor, wrapper]) chmodSync(file, 0o755)
  return wrapper
}

async function openBench(t: TestContext, kubectl: string): Promise<Bench> {
  const folder = mkdtempSync(path.join(tmpdir(), 'tideway-kubectl-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const place = await openPlace(t, withEditor(folder, kubectl))
  let files = 0
  return {
    ...place,
    file(content) {
      const file = path.join(folder, `${files++}.yaml`)
      writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content))
      return file
    },
    get: async (...args) => JSON.parse(await place.read('get', ...args, '-o', 'json')) as Stored,
    raw: async (at) => JSON.parse(await place.read('get', '--raw', at)) as Stored,
    async refused(...args) {
      const outcome = await place.run(...args)
      assert.notEqual(outcome.code, 0, `kubectl ${args.join(' ')}: ${outcome.stdout}`)
      return outcome
    },
  }
}

/** Tests of writing with the kubectl that `install` gives. */
export function testWrites(name: string, install: () => Promise<string>): void {
  let installed: Promise<string> | undefined
  const check = (behaviour: string, body: (bench: Bench) => Promise<void>): void => {
    void test(`${name}: ${behaviour}`, options, async (t) => {
      installed ??= install()
      await body(await openBench(t, await installed))
    })
  }

  check('applies from the client: created, unchanged, configured, removed', async ({ read, file, get }) => {
    const first = file(service({ app: 'sts', tier: 'a' }))
    assert.equal(await read('apply', '-f', first), 'service.core.riptides.io/sts created\n')
    assert.equal(await read('apply', '-f', first), 'service.core.riptides.io/sts unchanged\n')
    await read('label', 'service.core.riptides.io', 'sts', 'theirs=1')
    const second = file(service({ app: 'other' }))
    assert.equal(await read('apply', '-f', second), 'service.core.riptides.io/sts configured\n')
    const { metadata, spec } = await get('services.core.riptides.io', 'sts')
    assert.deepEqual(spec.labels, { app: 'other' })
    assert.deepEqual(metadata.labels, { theirs: '1' })
  })

  check(
    'applies on the server: conflicts, force, fields no longer applied',
    async ({ read, refused, file, raw }) => {
      const apply = ['apply', '--server-side', '-f']
      await read(...apply, file(service({ app: 'sts', tier: 'a' })))
      const other = file(service({ app: 'other' }))
      const { stderr } = await refused(...apply, other, '--field-manager=gitops')
      assert.match(stderr, /Apply failed with 1 conflict: conflict with "kubectl": \.spec\.labels\.app/)
      await read(...apply, other, '--field-manager=gitops', '--force-conflicts')
      await read(...apply, file({ ...service({}), spec: { labels: {} } }))
      const { metadata, spec } = await raw(`/apis/${core}/namespaces/riptides-system/services/sts`)
      assert.deepEqual(spec.labels, { app: 'other' })
      assert.ok(
        metadata.managedFields.some(
          ({ manager, operation }) => manager === 'gitops' && operation === 'Apply',
        ),
      )
    },
  )

  check(
    'goes from applying in the client to applying on the server, and back',
    async ({ read, file, get }) => {
      const target = ['services.core.riptides.io', 'sts'] as const
      await read('apply', '-f', file(service({ app: 'first' })))
      await read('apply', '--server-side', '-f', file(service({ app: 'second' })))
      assert.deepEqual((await get(...target)).spec.labels, { app: 'second' })
      await read('apply', '-f', file(service({ tier: 'third' })))
      assert.deepEqual((await get(...target)).spec.labels, { tier: 'third' })
    },
  )

  check('is warned of what is missing, and writes all the same', async ({ run, file }) => {
    const binding = {
      apiVersion: core,
      kind: 'CredentialBinding',
      metadata: { name: 'early' },
      spec: {
        workloadID: 'my/app',
        credentialSource: 'aws',
        propagation: { injection: { selectors: [{ app: 'sts' }] } },
      },
    }
    const { code, stdout, stderr } = await run('apply', '-f', file(binding))
    assert.deepEqual([code, stdout], [0, 'credentialbinding.core.riptides.io/early created\n'])
    assert.match(
      stderr,
      /^Warning: early is PENDING: WorkloadIdentity\.core\.riptides\.io "my\/app" not found; create it/,
    )
  })

  check('shows what would change, and changes nothing', async ({ read, run, file, get }) => {
    await read('apply', '-f', file(service({ app: 'sts' })))
    const changed = file(service({ app: 'other' }))
    const { code, stdout } = await run('diff', '-f', changed)
    assert.equal(code, 1)
    assert.match(stdout, /^-    app: sts$/m)
    assert.match(stdout, /^\+    app: other$/m)
    assert.match(await read('apply', '--dry-run=server', '-f', changed), /configured \(server dry run\)/)
    const made = file({ ...service({ app: 'x' }), metadata: { name: 'new' } })
    assert.match(await read('create', '--dry-run=server', '-f', made), /created \(server dry run\)/)
    assert.deepEqual((await get('services.core.riptides.io', 'sts')).spec.labels, { app: 'sts' })
    assert.equal((await run('get', 'services.core.riptides.io', 'new')).code, 1)
  })

  check('edits, patches, labels and annotates', async ({ read, refused, file, get }) => {
    const target = ['services.core.riptides.io', 'sts'] as const
    await read('create', '-f', file(service({ app: 'before-the-edit' })))
    assert.match(await read('edit', ...target), /edited/)
    assert.deepEqual((await get(...target)).spec.labels, { app: 'after-the-edit' })

    await read('patch', ...target, '--type=merge', '-p', '{"spec":{"labels":{"merged":"1"}}}')
    const add = [{ op: 'add', path: '/spec/labels/added', value: '1' }]
    await read('patch', ...target, '--type=json', '-p', JSON.stringify(add))
    const failing = [{ op: 'test', path: '/spec/labels/added', value: '2' }]
    const { stderr } = await refused('patch', ...target, '--type=json', '-p', JSON.stringify(failing))
    assert.match(stderr, /patch\[0\]: Invalid value: test \/spec\/labels\/added: the value is another/)
    const strategic = await refused('patch', ...target, '-p', '{"spec":{}}')
    assert.match(strategic.stderr, /UnsupportedMediaType|is not supported/)
    await read('label', ...target, 'a=b')
    await read('annotate', ...target, 'note=x')
    const { metadata, spec } = await get(...target)
    assert.deepEqual(spec.labels, { added: '1', app: 'after-the-edit', merged: '1' })
    assert.deepEqual([metadata.labels, metadata.annotations], [{ a: 'b' }, { note: 'x' }])
    await read('label', ...target, 'a-')
    assert.equal((await get(...target)).metadata.labels, undefined)
  })

  check('is told which field is wrong', async ({ read, refused, file }) => {
    const wrong = {
      ...service({ app: 'x' }),
      spec: { labels: { app: 'x' }, addresses: [{ address: 'a b' }] },
    }
    const { stderr } = await refused('create', '-f', file(wrong))
    assert.match(stderr, /The Service "sts" is invalid: spec\.addresses\[0\]\.address: Invalid value/)
    await read('create', '-f', file(service({ app: 'x' })))
    const unknown = '{"spec":{"colour":"red"}}'
    const refusal = await refused('patch', 'services.core.riptides.io', 'sts', '--type=merge', '-p', unknown)
    assert.match(refusal.stderr, /spec\.colour/)
  })

  check('deletes with dependents, waits for states and for deletion', async ({ read, run, file, get }) => {
    const target = 'services.core.riptides.io'
    await read('create', '-f', file(service({ app: 'sts' })))
    await read('wait', `${target}/sts`, '--for=condition=Bound=false', '--timeout=60s')
    const { metadata } = await get(target, 'sts')
    const ownerReferences = [{ apiVersion: core, kind: 'Service', name: 'sts', uid: metadata.uid }]
    for (const name of ['child', 'orphan']) {
      await read('create', '-f', file(service({ app: 'x' }, { name, ownerReferences })))
    }
    await read('patch', target, 'orphan', '--type=merge', '-p', '{"metadata":{"ownerReferences":null}}')
    const waiting = run('wait', `${target}/child`, '--for=delete', '--timeout=60s')
    assert.match(await read('delete', target, 'sts', '--cascade=foreground'), /deleted/)
    const { code, stderr } = await waiting
    // kubectl 1.20 complains of what is gone before it begins to wait.
    assert.ok(code === 0 || /no matching resources found|"child" not found/.test(stderr), stderr)
    assert.equal((await run('get', target, 'sts')).code, 1)
    assert.ok(await get(target, 'orphan'))
    await read('label', target, 'orphan', 'gone=1')
    await read('delete', target, '-l', 'gone=1')
    assert.equal((await run('get', target, 'orphan')).code, 1)
  })

  check(
    'applies what is never given back: configured each time, and no change',
    async ({ read, file, get }) => {
      const metadata = { name: 'twice' }
      const token = { apiVersion: 'auth.riptides.io/v1alpha1', kind: 'JoinToken', metadata }
      const manifests = [
        { ...token, spec: { token: 'a-token-of-some-length', workloadID: 'd/1' } },
        { apiVersion: 'v1', kind: 'Secret', metadata, stringData: { key: 'the-value' } },
      ]
      for (const manifest of manifests) {
        const applied = file(manifest)
        await read('apply', '-f', applied)
        // kubectl compares by itself, and does not see what is there.
        assert.match(await read('apply', '-f', applied), / configured\n$/)
        assert.equal((await get(manifest.kind, 'twice')).metadata.generation, 1)
      }
    },
  )

  check('manages a Secret without ever seeing or losing its values', async ({ read, file }) => {
    const secret = (stringData: Record<string, string>, labels = {}) =>
      file({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'api', labels }, stringData })
    const keys = async () => {
      const stdout = await read('get', 'secret', 'api', '-o', 'json')
      assert.ok(
        !stdout.includes('the-value') && !stdout.includes(Buffer.from('the-value').toString('base64')),
      )
      return stdout
    }
    await read('apply', '-f', secret({ one: 'the-value', two: 'the-value-2' }))
    await keys()
    await read('apply', '-f', secret({ one: 'the-value' }, { note: 'before-the-edit' }))
    await read('edit', 'secret', 'api')
    await read('label', 'secret', 'api', 'a=b')
    await read('patch', 'secret', 'api', '-p', '{"metadata":{"annotations":{"x":"y"}}}')
    assert.match(await keys(), /after-the-edit/)
    assert.match(
      await read('apply', '-f', secret({ one: 'the-value' }), '--server-side', '--force-conflicts'),
      /applied/,
    )
    await keys()
  })

  check('makes and deletes a namespace with what is in it', async ({ read, run, file }) => {
    await read('create', 'namespace', 'team')
    await read('apply', '-n', 'team', '-f', file(service({ app: 'x' })))
    assert.match(await read('get', 'namespaces'), /^team +Active/m)
    assert.match(await read('delete', 'namespace', 'team'), /deleted/)
    assert.equal((await run('get', '-n', 'team', 'services.core.riptides.io', 'sts')).code, 1)
  })

  check('sees what happened as events', async ({ read, file }) => {
    const target = 'services.core.riptides.io'
    await read('create', '-f', file(service({ app: 'sts' })))
    await read('wait', `${target}/sts`, '--for=condition=Bound=false', '--timeout=60s')
    let events = ''
    // Recorded just after the state was written.
    for (let looks = 0; looks < 100 && !events.includes('NoBinding'); looks++)
      events = await read('get', 'events')
    assert.match(events, /^LAST SEEN +TYPE +REASON +OBJECT +MESSAGE\n.* Normal +NoBinding +service\/sts /s)
    assert.match(await read('describe', target, 'sts'), /Events:[^]*NoBinding/)
    assert.match(await read('get', 'events.events.k8s.io'), /NoBinding +service\/sts /)
    assert.match(await read('explain', 'events', '--api-version=events.k8s.io/v1'), /regarding/)
  })
}
