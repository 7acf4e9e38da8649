// What an operator reads with kubectl, whatever its release.
import assert from 'node:assert/strict'
import { createInterface } from 'node:readline'
import { before, test, type TestContext } from 'node:test'
import { kinds } from '#model/resource'
import { openPlace, type Place } from './kubectl.ts'

const options = { timeout: 120_000 }

const resources = {
  services: {
    bedrock: {
      labels: { app: 'bedrock' },
      addresses: [{ address: 'bedrock.us-east-1.amazonaws.com', port: 443 }],
      external: true,
    },
    sts: { labels: { app: 'sts' }, addresses: [{ address: 'sts.amazonaws.com', port: 443 }], external: true },
  },
  workloadidentitys: {
    app: {
      workloadID: 'my/app',
      scope: { daemon: { id: 'd/1' } },
      selectors: [{ 'process:name': 'python3', 'process:uid': 1000 }],
    },
  },
}

async function openFilledPlace(t: TestContext, kubectl: string): Promise<Place> {
  const place = await openPlace(t, kubectl)
  await place.server.apply(resources)
  for (const name of ['bedrock', 'sts']) {
    await place.server.until('services', name, ({ status }) => status?.state === 'OK')
  }
  return place
}

const words = (line = '') => line.trim().split(/\s{2,}/)

interface Field {
  readonly properties?: Readonly<Record<string, Field>>
  readonly items?: Field
}

/** The paths of a schema's leaves as `kubectl explain` takes them. */
function leavesOf(schema: Field, path: string): string[] {
  const inner = schema.properties ?? schema.items?.properties
  if (!inner) return [path]
  return Object.entries(inner).flatMap(([name, field]) => leavesOf(field, `${path}.${name}`))
}

/** Tests of reading with the kubectl that `install` gives. */
export function testReads(name: string, install: () => Promise<string>): void {
  let kubectl = ''
  before(async () => {
    kubectl = await install()
  })
  const check = (behaviour: string, body: (place: Place) => Promise<void>): void => {
    void test(`${name}: ${behaviour}`, options, async (t) => {
      await body(await openFilledPlace(t, kubectl))
    })
  }

  check('finds every kind by its names', async ({ read }) => {
    const listed = (await read('api-resources', '--no-headers'))
      .trim()
      .split('\n')
      .map((line) => line.split(/\s+/))
    for (const { plural, kind, apiVersion, scope } of kinds) {
      const row = listed.find(([name, ...rest]) => name === plural && rest.includes(kind))
      assert.ok(row, plural)
      assert.deepEqual(row.slice(-3), [apiVersion, String(scope === 'Namespaced'), kind])
    }
    assert.match(await read('api-versions'), /^core\.riptides\.io\/v1alpha1$/m)
    assert.match(
      await read('api-resources', '--verbs=list,watch', '-o', 'name'),
      /^daemons\.core\.riptides\.io$/m,
    )
    for (const spelling of [
      'wi',
      'workloadidentity',
      'workloadidentities',
      'workloadidentitys.core.riptides.io',
    ]) {
      assert.match(await read('get', spelling, 'app', '-o', 'name'), /\/app$/m)
    }
  })

  check('knows where it is, and how that does', async ({ read }) => {
    assert.match(await read('cluster-info'), /is running at/)
    assert.match(await read('get', '--raw', '/version'), /v1\.32\.0\+tideway/)
    assert.equal(await read('get', '--raw', '/readyz?verbose'), '[+]ping ok\nreadyz check passed\n')
  })

  check('prints the columns that ctl get prints', async ({ read }) => {
    const [head, ...rows] = (await read('get', 'services')).trimEnd().split('\n')
    assert.deepEqual(words(head), ['NAME', 'ADDRESSES', 'EXTERNAL', 'STATE', 'AGE'])
    assert.deepEqual(words(rows[0]).slice(0, 4), ['bedrock', 'bedrock.us-east-1.amazonaws.com', 'true', 'OK'])
    assert.match((await read('get', 'svc', '-o', 'wide')).split('\n')[0]!, /AGE +MESSAGE/)
    assert.match(await read('get', 'svc', '-A'), /^NAMESPACE +NAME/)
    assert.match(await read('get', 'svc', '--show-labels'), /LABELS/)
    assert.match(await read('get', 'all'), /service\.core\.riptides\.io\/sts/)
    assert.match(await read('get', 'tideway', '-o', 'name'), /workloadidentity\.core\.riptides\.io\/app/)
  })

  check('gives objects in every form', async ({ read }) => {
    assert.equal(JSON.parse(await read('get', 'svc', 'sts', '-o', 'json')).spec.labels.app, 'sts')
    assert.match(await read('get', 'svc', 'sts', '-o', 'yaml'), /^ {4}app: sts$/m)
    assert.equal(await read('get', 'svc', 'sts', '-o', 'name'), 'service.core.riptides.io/sts\n')
    assert.equal(await read('get', 'wi', 'app', '-o', 'jsonpath={.spec.workloadID}'), 'my/app')
    assert.equal(
      await read('get', 'svc', '-o', 'go-template={{range .items}}{{.metadata.name}} {{end}}'),
      'bedrock sts ',
    )
    const columns = 'custom-columns=N:.metadata.name,A:.spec.addresses[0].address'
    assert.match(await read('get', 'svc', 'sts', '-o', columns), /sts +sts\.amazonaws\.com/)
    const sorted = await read('get', 'svc', '-o', 'name', '--sort-by=.spec.labels.app')
    assert.deepEqual(sorted.match(/[^/\n]+$/gm), ['bedrock', 'sts'])
  })

  check('selects by labels and fields, and in chunks', async ({ read, run, server }) => {
    await server.call('POST', '/apis/core.riptides.io/v1alpha1/namespaces/riptides-system/services', {
      apiVersion: 'core.riptides.io/v1alpha1',
      kind: 'Service',
      metadata: { name: 'labelled', labels: { tier: 'front' } },
      spec: { labels: { app: 'x' } },
    })
    const names = async (...args: string[]) =>
      (await read('get', 'svc', '-o', 'jsonpath={.items[*].metadata.name}', ...args)).split(' ')
    assert.deepEqual(await names('-l', 'tier in (front,back)'), ['labelled'])
    assert.deepEqual(await names('-l', '!tier'), ['bedrock', 'sts'])
    assert.deepEqual(await names('--field-selector', 'metadata.name!=sts,spec.external=true'), ['bedrock'])
    assert.deepEqual(await names('--chunk-size=1'), ['bedrock', 'labelled', 'sts'])
    const refused = await run('get', 'svc', '--field-selector', 'spec.nothing=1')
    assert.match(refused.stderr, /field label not supported: spec\.nothing; a Service is selected by/)
  })

  check('watches', async ({ start, server }) => {
    const child = start('get', 'svc', '--watch', '--output-watch-events', '-l', 'tier=front')
    const path = '/apis/core.riptides.io/v1alpha1/namespaces/riptides-system/services'
    const write = (method: string, path: string, labels: Record<string, string>) =>
      server.call(method, path, {
        apiVersion: 'core.riptides.io/v1alpha1',
        kind: 'Service',
        metadata: { name: 'shown', labels },
        spec: { labels: { app: 'x' } },
      })
    await write('POST', path, { tier: 'front' })
    const seen: string[] = []
    for await (const line of createInterface(child.stdout)) {
      const type = /^([A-Z]+) +shown/.exec(line)?.[1]
      if (type === undefined) continue
      seen.push(type)
      if (type === 'ADDED') await write('PUT', `${path}/shown`, { tier: 'back' })
      if (type === 'DELETED') break
    }
    // The reconciler may have set its state before its label was gone.
    assert.deepEqual(
      seen.filter((type) => type !== 'MODIFIED'),
      ['ADDED', 'DELETED'],
    )
  })

  check('describes, with what the status says', async ({ read }) => {
    const text = await read('describe', 'svc', 'sts')
    assert.match(text, /^Kind: +Service$/m)
    assert.match(text, /State: +OK/)
  })

  check('explains every kind down to its last field', async ({ read }) => {
    for (const { plural, apiVersion, description } of kinds) {
      const text = await read('explain', plural, '--recursive', `--api-version=${apiVersion}`)
      // It breaks lines where it likes.
      assert.ok(text.includes(description.split(' ', 2).join(' ')), plural)
      assert.match(text, /FIELDS:[^]*metadata\t/)
    }
    const identity = kinds.find(({ kind }) => kind === 'WorkloadIdentity')!.schema as Field
    for (const path of leavesOf(identity.properties!['spec']!, 'workloadidentity.spec')) {
      assert.match(await read('explain', path), /DESCRIPTION:\s+[A-Z]/, path)
    }
  })
}
