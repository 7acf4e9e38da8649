import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { parse } from 'yaml'
import { saveContext } from '#cli/context'
import { openCliBed, serviceManifest, type CliBed, type Outcome } from './fixture.ts'

interface Listed {
  kind: string
  items: { metadata: { name: string } }[]
}

describe('tideway ctl', () => {
  let bed: CliBed
  before(async () => {
    bed = await openCliBed()
  })
  after(() => bed[Symbol.asyncDispose]())

  const ctl = (line: string, input = ''): Promise<Outcome> => bed.run(['ctl', ...line.split(' ')], { input })
  const apply = (...manifests: string[]) => ctl('apply -f -', manifests.join('---\n'))
  const says = (stdout: string): Outcome => ({ code: 0, stdout, stderr: '' })

  /** What the server refuses, and nobody else can judge. */
  const thief = `apiVersion: core.riptides.io/v1alpha1
kind: WorkloadIdentity
metadata: { name: thief }
spec:
  workloadID: riptides/daemon/web-1
  scope: { daemon: { id: riptides/daemon/web-1 } }
  selectors: [{ process:uid: 1000 }]
`

  test('apply says created, unchanged and configured', async () => {
    assert.deepEqual(
      await apply(serviceManifest('verdict')),
      says('service.core.riptides.io/verdict created\n'),
    )
    assert.deepEqual(
      await apply(serviceManifest('verdict')),
      says('service.core.riptides.io/verdict unchanged\n'),
    )
    const other = serviceManifest('verdict', 'other.example.org')
    assert.deepEqual(
      await ctl('apply --dry-run -f -', other),
      says('service.core.riptides.io/verdict configured (server dry run)\n'),
    )
    assert.deepEqual(await apply(other), says('service.core.riptides.io/verdict configured\n'))
  })

  test('--dry-run takes the words of kubectl, is the server without one, and changes nothing', async () => {
    const name = 'service.core.riptides.io/tried'
    const first = serviceManifest('tried')
    const second = serviceManifest('tried', 'other.example.org')
    const labelled = first.replace('name: tried', 'name: tried\n  labels: { a: b }')
    for (const [line, manifest, said] of [
      ['apply --dry-run=client', first, `${name} created (dry run)`],
      ['apply --dry-run=client', thief, 'workloadidentity.core.riptides.io/thief created (dry run)'],
      ['apply --dry-run', first, `${name} created (server dry run)`],
      ['apply --dry-run=none', first, `${name} created`],
      ['apply --dry-run=client', first, `${name} unchanged (dry run)`],
      ['apply --dry-run=server', first, `${name} unchanged (server dry run)`],
      ['apply --dry-run=client', labelled, `${name} configured (dry run)`],
      ['apply --dry-run=client', second, `${name} configured (dry run)`],
      ['apply --dry-run=server', second, `${name} configured (server dry run)`],
      ['delete --dry-run=client', first, 'service.core.riptides.io "tried" deleted (dry run)'],
      ['delete --dry-run=server', first, 'service.core.riptides.io "tried" deleted (server dry run)'],
      ['apply', first, `${name} unchanged`],
      ['delete', first, 'service.core.riptides.io "tried" deleted'],
    ] as const) {
      assert.deepEqual(await ctl(`${line} -f -`, manifest), says(`${said}\n`), line)
    }
    assert.match((await ctl('apply --dry-run=server -f -', thief)).stderr, /reserved for daemons/)
    assert.match((await ctl('delete --dry-run=client service tried')).stderr, /not found/)
  })

  test('what --dry-run cannot mean is refused, and nothing is done', async () => {
    assert.equal((await apply(serviceManifest('spared'))).code, 0)
    for (const line of ['delete --dry-run service/spared', 'delete service/spared --dry-run=yes']) {
      const { code, stderr } = await ctl(line)
      assert.equal(code, 2)
      assert.match(stderr, /is invalid. Allowed choices are none, server, client/)
    }
    assert.equal((await ctl('get service spared')).code, 0)
  })

  test('apply knows what is never given back: unchanged, until the value is another', async () => {
    const secret = (value: string) =>
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 'hidden' },
        stringData: { key: value },
      })
    const verdicts = []
    for (const value of ['a', 'a', 'b']) verdicts.push((await apply(secret(value))).stdout)
    assert.deepEqual(verdicts, [
      'secret/hidden created\n',
      'secret/hidden unchanged\n',
      'secret/hidden configured\n',
    ])
  })

  test('apply takes files, directories, several documents, lists and JSON', async () => {
    await mkdir(`${bed.folder}/objects`)
    await bed.file(
      'objects/b.yaml',
      `---\n${serviceManifest('b')}---\n# nothing\n---\n${serviceManifest('c')}`,
    )
    await bed.file('objects/a.json', JSON.stringify(parse(serviceManifest('a'))))
    await bed.file('objects/notes.txt', 'not YAML: [')
    const list = { apiVersion: 'v1', kind: 'List', items: [parse(serviceManifest('d'))] }
    const file = await bed.file('list.yaml', JSON.stringify(list))
    const { code, stdout } = await ctl(`apply -f ${bed.folder}/objects -f ${file} -f -`, serviceManifest('e'))
    assert.equal(code, 0)
    const created = ['a', 'b', 'c', 'd', 'e'].map((name) => `service.core.riptides.io/${name} created\n`)
    assert.equal(stdout, created.join(''))
    const deleted = await ctl(`delete -f ${bed.folder}/objects -f ${file} service`)
    assert.deepEqual(deleted.code, 2)
    assert.match(
      (await ctl(`delete -f ${bed.folder}/objects -f ${file}`)).stdout,
      /^service.core.riptides.io "a" deleted\n/,
    )
  })

  test('what is wrong with a document names file, document and line, and the others are applied', async () => {
    const refusals: [text: string, message: RegExp][] = [
      [
        serviceManifest('x').replace('external:', 'externl:'),
        /^error: standard input, document 2, line 26: .*spec\.externl: unknown field\n$/,
      ],
      [serviceManifest('x').replace('port: 443', 'port: -1'), /line 25: .*spec\.addresses\[0\]\.port/],
      [
        serviceManifest('x').replace('  labels:\n    app: x\n', ''),
        /line 20: .*spec\.labels: Required value/,
      ],
      [
        serviceManifest('x').replace('kind: Service', 'kind: Foo'),
        /document 2, line 16: .*no matches for kind "Foo" in version "core\.riptides\.io\/v1alpha1"/,
      ],
      ['kind: [\n', /^error: standard input, document 2, line 17, column 1: Flow sequence .*\n$/],
      ['- a\n', /document 2, line 16: an object with apiVersion and kind is expected/],
      ['kind: List\nitems:\n- null\n', /document 2, line 18: an object with apiVersion and kind is expected/],
    ]
    for (const [text, message] of refusals) {
      // A comment of two lines, so that lines are not those of the document alone.
      const { code, stdout, stderr } = await apply(
        `# one\n# two\n${serviceManifest('first')}`,
        `# three\n${text}`,
        serviceManifest('last'),
      )
      assert.equal(code, 1, text)
      assert.match(stdout, /^service.core.riptides.io\/first .*\nservice.core.riptides.io\/last .*\n$/)
      assert.match(stderr, message)
      assert.doesNotMatch(stderr, /\n\s+at /)
    }
  })

  test('all that is wrong is said, also of several files, in a dry run and when deleting', async () => {
    await mkdir(`${bed.folder}/wrong/deeper`, { recursive: true })
    const wrong = serviceManifest('wrong').replace('external:', 'externl:')
    await bed.file('wrong/a.yaml', `${wrong}---\n${serviceManifest('right')}---\n${wrong}`)
    await bed.file('wrong/b.json', '{ "kind": "Service" }')
    await bed.file('wrong/deeper/c.yaml', serviceManifest('deep'))
    const errors =
      /^error: \S+a\.yaml, document 1, line 11: .*\nerror: \S+a\.yaml, document 3, line 35: .*\nerror: \S+b\.json, line 1: .*\n$/
    for (const [line, stdout] of [
      ['apply --dry-run -R', ' created (server dry run)'],
      ['apply', ' created'],
      ['delete', 'deleted'],
    ] as const) {
      const outcome = await ctl(`${line} -f ${bed.folder}/wrong`)
      assert.equal(outcome.code, 1)
      assert.match(outcome.stderr, errors)
      assert.ok(outcome.stdout.includes('right') && outcome.stdout.includes(stdout), outcome.stdout)
      assert.equal(outcome.stdout.includes('deep'), line.endsWith('-R'))
    }
  })

  test('what the server refuses names its document too, and the others are applied', async () => {
    const { code, stdout, stderr } = await apply(thief, serviceManifest('after'))
    assert.equal(code, 1)
    assert.equal(stdout, 'service.core.riptides.io/after created\n')
    assert.match(
      stderr,
      /^error: standard input, document 1, line \d: .*spec\.workloadID.*reserved for daemons/,
    )
  })

  test("a document of another namespace than the command's is refused", async () => {
    const manifest = serviceManifest('x').replace('name: x', 'name: x\n  namespace: one')
    const { code, stderr } = await ctl('apply -n two -f -', manifest)
    assert.equal(code, 1)
    assert.match(stderr, /^error: standard input, line 1: its namespace is one, and --namespace says two/)
  })

  test('files that cannot be used are named', async () => {
    const refusals: [args: string, message: RegExp][] = [
      ['apply -f /does/not/exist', /the path "\/does\/not\/exist" does not exist/],
      ['apply -f -', /no objects found in -/],
      ['apply', /required option '-f, --filename <FILE>' not specified/],
      ['delete -f /does/not/exist', /does not exist/],
    ]
    for (const [args, message] of refusals) {
      const { code, stderr } = await ctl(args)
      assert.equal(code, 2)
      assert.match(stderr, message)
    }
  })

  test('what cannot be read, or not as it was written, is named with the reason', async () => {
    const closed = `${bed.folder}/closed`
    await mkdir(closed, { mode: 0o000 })
    const cases: [file: string, code: number, message: RegExp][] = [
      [
        await bed.file('latin1.yaml', Buffer.from(`${serviceManifest('umlaut')}# M\xfcller`, 'latin1')),
        1,
        /^error: \S+latin1\.yaml: it is not UTF-8 text\n$/,
      ],
      [
        await bed.file('template.yaml', 'kind: Service\nmetadata:\n  name: {{ .Values.name }}\n'),
        1,
        /^error: \S+template\.yaml, line 3, column 10: each key must be a string\n$/,
      ],
      [`${bed.folder}/latin1.yaml/x`, 2, /^error: ENOTDIR: .*\/latin1\.yaml\/x'\n$/],
      // Root may read it.
      [closed, 2, process.getuid!() === 0 ? /no objects found/ : /^error: EACCES: .*\/closed'\n$/],
    ]
    for (const [file, code, message] of cases) {
      const outcome = await ctl(`apply -f ${file}`)
      assert.deepEqual([outcome.code, outcome.stdout], [code, ''], file)
      assert.match(outcome.stderr, message)
    }
    const latin1 = Buffer.from(`${serviceManifest('umlaut')}# M\xfcller`, 'latin1')
    const { stderr } = await bed.run(['ctl', 'apply', '-f', '-'], { input: latin1 })
    assert.equal(stderr, 'error: standard input: it is not UTF-8 text\n')
  })

  test('kinds are understood in singular, plural, short, qualified and in any case', async () => {
    await apply(serviceManifest('named'))
    const spellings = [
      'service named',
      'services named',
      'svc named',
      'SERVICE named',
      'Services.core.riptides.io named',
    ]
    for (const spelling of [...spellings, 'service/named', 'svc/named', 'service.core.riptides.io/named']) {
      assert.deepEqual(
        await ctl(`get ${spelling} -o name`),
        says('service.core.riptides.io/named\n'),
        spelling,
      )
    }
    assert.deepEqual(
      await ctl('get workloadidentity,workloadidentities,WorkloadIdentitys -o jsonpath={.items}'),
      says('[]\n'),
    )
    const { stdout } = await ctl('kinds')
    assert.match(stdout, /^NAME +SHORT +API VERSION +KIND\n/)
  })

  test('a kind that there is not, an object that there is not, and selections that make no sense', async () => {
    const refusals: [args: string, code: number, message: RegExp][] = [
      ['get foo', 1, /^error: the server doesn't have a resource type "foo"\n$/],
      ['get svc nope', 1, /^error: services\.core\.riptides\.io "nope" not found\n$/],
      ['describe cb/nope', 1, /^error: credentialbindings\.core\.riptides\.io "nope" not found\n$/],
      ['delete cs nope', 1, /^error: credentialsources\.core\.riptides\.io "nope" not found\n$/],
      ['get', 2, /say which kind/],
      ['get svc/a/b', 2, /"svc\/a\/b" is not KIND\/NAME/],
      ['get svc,cs name', 2, /names can be given for one kind only/],
      ['get svc name -A', 2, /cannot be named across all namespaces/],
      ['delete svc', 2, /say which service to delete/],
      ['delete all', 2, /say which workloadidentity to delete/],
      ['rotate svc/x', 2, /only credentialbinding\/NAME can be rotated/],
      ['rotate cb/nope', 1, /"nope" not found/],
      ['get svc named -o csv', 2, /output format "csv"\nhint: formats: wide, yaml/],
      ['get svc named -o jsonpath={.a', 2, /unbalanced braces/],
    ]
    for (const [args, code, message] of refusals) {
      const outcome = await ctl(args)
      assert.deepEqual([outcome.code, outcome.stdout], [code, ''], args)
      assert.match(outcome.stderr, message)
    }
  })

  test('delete goes on after an object that is not there, and fails in the end', async () => {
    await apply(serviceManifest('one'), serviceManifest('two'))
    const { code, stdout, stderr } = await ctl('delete svc one nope two nor-this')
    assert.equal(code, 1)
    assert.equal(stdout, 'service.core.riptides.io "one" deleted\nservice.core.riptides.io "two" deleted\n')
    assert.equal(
      stderr,
      'error: services.core.riptides.io "nope" not found\nerror: services.core.riptides.io "nor-this" not found\n',
    )
    assert.deepEqual(await ctl('delete svc nope --ignore-not-found'), says(''))
  })

  test('get prints tables, and wide ones with messages', async () => {
    await apply(serviceManifest('shown'))
    await ctl('wait svc/shown --for OK')
    const table = await ctl('get svc shown')
    assert.match(
      table.stdout,
      /^NAME +ADDRESSES +EXTERNAL +STATE +AGE\nshown +shown\.example\.org +true +OK +\d+s\n$/,
    )
    const wide = await ctl('get svc shown -o wide')
    assert.match(
      wide.stdout,
      /^NAME .* MESSAGE\nshown .* no CredentialBinding that is in force selects it, so connections to it are left alone: create one, .*\n$/,
    )
    assert.match((await ctl('get svc -A')).stdout, /^NAMESPACE +NAME .*\nriptides-system +/)
    assert.match((await ctl('get all')).stdout, /\nservice\.core\.riptides\.io\/shown +shown\.example\.org/)
    assert.deepEqual(await ctl('get cb'), {
      code: 0,
      stdout: '',
      stderr: 'No resources found in riptides-system namespace.\n',
    })
    assert.match((await ctl('get svc -n elsewhere')).stderr, /No resources found in elsewhere namespace/)
  })

  test('get prints one object bare and several as a list, in YAML and JSON', async () => {
    await apply(serviceManifest('bare'))
    const one = parse((await ctl('get svc bare -o yaml')).stdout) as { kind: string; spec: unknown }
    assert.equal(one.kind, 'Service')
    assert.ok(!JSON.stringify(one).includes('managedFields'))
    const { stdout } = await ctl('get svc bare -o json --show-managed-fields')
    assert.match(stdout, /"managedFields"/)
    const same = JSON.parse((await ctl('get svc/bare -o json')).stdout) as { spec: unknown }
    assert.deepEqual(same.spec, one.spec)
    const list = JSON.parse((await ctl('get svc -o json')).stdout) as Listed
    assert.equal(list.kind, 'List')
    assert.ok(list.items.some(({ metadata }) => metadata.name === 'bare'))
    const again = await ctl('apply -f -', (await ctl('get svc bare -o yaml')).stdout)
    assert.deepEqual(again, says('service.core.riptides.io/bare unchanged\n'))
  })

  test('jsonpath prints what kubectl would', async () => {
    await apply(serviceManifest('path'))
    assert.deepEqual(await ctl('get svc path -o jsonpath={.spec.addresses[0].port}'), says('443\n'))
    assert.deepEqual(
      await bed.run([
        'ctl',
        'get',
        'svc',
        'path',
        '-o',
        "jsonpath={range .spec.addresses[*]}{.address}{':'}{.port}{'\\n'}{end}",
      ]),
      says('path.example.org:443\n'),
    )
  })

  test('describe shows the state first and then everything', async () => {
    await apply(serviceManifest('whole'))
    await ctl('wait svc/whole --for OK')
    const { stdout } = await ctl('describe service whole')
    assert.match(
      stdout,
      /^NAME: +whole\nNAMESPACE: +riptides-system\nKIND: +Service .*\nSTATE: +OK\nMESSAGE: /,
    )
    assert.doesNotMatch(stdout, /managedFields/)
    assert.match(stdout, /\nSPEC:\n {2}labels:\n {4}app: whole\n/)
    assert.match(stdout, /\nCONDITIONS:\n {2}TYPE +STATUS +REASON +MESSAGE\n {2}Bound +False +NoBinding/)
  })

  test('wait sees states, conditions and deletions, and says why it was in vain', async () => {
    await apply(serviceManifest('awaited'))
    assert.deepEqual(
      await ctl('wait svc/awaited --for=OK'),
      says('service.core.riptides.io/awaited condition met\n'),
    )
    assert.deepEqual(
      await ctl('wait svc/awaited --for=condition=Bound=False'),
      says('service.core.riptides.io/awaited condition met\n'),
    )
    assert.deepEqual(
      await ctl('wait svc/awaited --for=OK --timeout=0'),
      says('service.core.riptides.io/awaited condition met\n'),
    )
    for (const words of ['', ' svc', ' all']) {
      const { code, stderr } = await ctl(`wait --for=OK${words}`)
      assert.equal(code, 2)
      assert.match(stderr, /^error: say which object to wait for\nhint: as KIND\/NAME/)
    }
    const gone = ctl('wait svc/awaited --for=delete')
    await ctl('delete svc awaited')
    assert.deepEqual(await gone, says('service.core.riptides.io/awaited condition met\n'))

    const source = `apiVersion: core.riptides.io/v1alpha1
kind: CredentialBinding
metadata: { name: lonely }
spec:
  workloadID: app/lonely
  credentialSource: none
  propagation: { injection: { selectors: [{ app: x }] } }
`
    await apply(source)
    const late = await ctl('wait cb/lonely --for OK --timeout 1s')
    assert.equal(late.code, 75)
    assert.match(
      late.stderr,
      /^error: timed out waiting for OK on credentialbindings\/lonely\nhint: it is (PENDING|FAILED): .*\n$/,
    )
    assert.match(
      (await ctl('get cb -o wide')).stdout,
      / MESSAGE\nlonely .*(CredentialSource|WorkloadIdentity)/,
    )
    assert.equal((await ctl('wait cb/lonely --for OK --timeout soon')).code, 2)
    for (const [what, hint] of [
      ['cb/lonely', 'credentialbindings are PENDING, OK, '],
      ['secret/x', 'secrets have no state; '],
    ]) {
      const never = await ctl(`wait ${what} --for Ok`)
      assert.equal(never.code, 2)
      assert.match(never.stderr, new RegExp(`^error: --for: .* are never "Ok"\\nhint: ${hint}`))
    }
    assert.equal((await ctl('wait cb/lonely --for jsonpath=x')).code, 2)
  })

  test('a wait ends in time where the server does not answer', async () => {
    const silent = createServer((socket) => socket.unref()).listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const contexts = `${bed.folder}/silent.yaml`
    const url = `https://127.0.0.1:${(silent.address() as AddressInfo).port}`
    saveContext(contexts, { name: 'silent', server: url, token: 'any' }, { makeCurrent: true })
    const env = { TIDEWAY_CONTEXTS: contexts }
    assert.deepEqual(await bed.run('ctl wait svc/x --for OK --timeout 0'.split(' '), { env }), {
      code: 75,
      stdout: '',
      stderr: 'error: timed out waiting for OK on services/x\nhint: the server does not answer\n',
    })
    silent.close()
  })

  test('Ctrl-C ends a wait with the code of interrupted programs', async () => {
    const stop = new AbortController()
    const waiting = bed.run(['ctl', 'wait', 'svc/never', '--for', 'OK'], { signal: stop.signal })
    setImmediate(() => stop.abort(new Error('stopped by SIGINT')))
    assert.deepEqual(await waiting, { code: 130, stdout: '', stderr: 'stopped by SIGINT\n' })
  })

  test('write-only fields are not shown', async () => {
    const secret = 'only-the-server-may-know-this'
    const manifest = `apiVersion: auth.riptides.io/v1alpha1
kind: JoinToken
metadata: { name: hidden }
spec: { token: ${secret} }
`
    const applied = await apply(manifest)
    assert.match(applied.stderr, /^Warning: spec\.expireAt is not set/)
    const shown = [await ctl('get jt -o yaml'), await ctl('describe jt hidden'), await bed.run(['audit'])]
    assert.doesNotMatch(JSON.stringify(shown), new RegExp(secret))
  })
})
