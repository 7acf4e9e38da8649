import assert from 'node:assert/strict'
import { createHash, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { systemClock } from '#base/clock'
import { openFetch } from '#cli/context'
import { openCliBed, serviceManifest, type CliBed } from './fixture.ts'

describe('what operators do', () => {
  let bed: CliBed
  before(async () => {
    bed = await openCliBed()
  })
  after(() => bed[Symbol.asyncDispose]())

  const run = (line: string, input = '') => bed.run(line.split(' '), { input })

  test('node token create prints the token alone, and to people how to use it', async () => {
    const { code, stdout, stderr } = await run('node token create --ttl 10m --workload-id nodes/web-1')
    assert.equal(code, 0)
    assert.match(stdout, /^[\w-]{43}\n$/)
    assert.ok(
      stderr.includes(
        `tideway daemon --server ${bed.ready.url} --join-token-file FILE --ca-hash ${bed.ready.caHash}`,
      ),
    )
    const listed = await run('ctl get jointokens')
    assert.match(listed.stdout, /join-\w+ +nodes\/web-1 +(AVAILABLE)? +in (9m|10m|5\d\ds|600s)/)
    assert.doesNotMatch(JSON.stringify(await run('ctl get jt -o json')), new RegExp(stdout.trim()))
  })

  test('node token create prints JSON for programs', async () => {
    const { stdout, stderr } = await run('node token create -o json --ttl 7d --group g/one --group g/two')
    const { token, server, caHash, expireAt } = JSON.parse(stdout) as Record<string, string>
    assert.equal(stderr, '')
    assert.match(token!, /^[\w-]{43}$/)
    assert.deepEqual([server, caHash], [bed.ready.url, bed.ready.caHash])
    const ahead = Date.parse(expireAt!) - systemClock.now()
    assert.ok(ahead > 6.9 * 86_400_000 && ahead <= 7 * 86_400_000)
    const groups = await run('ctl get jt -o jsonpath={.items[*].spec.daemonGroups}')
    assert.match(groups.stdout, /\["g\/one","g\/two"\]/)
  })

  test('node token create refuses durations, formats and IDs that make no sense', async () => {
    for (const ttl of ['0s', '10', '-1h', '1w', 'h', '1h30m']) {
      const { code, stdout, stderr } = await bed.run(['node', 'token', 'create', `--ttl=${ttl}`])
      assert.deepEqual([code, stdout], [2, ''])
      assert.equal(stderr, 'error: --ttl: a duration such as 10m, 1h or 7d is expected\n')
    }
    assert.match((await run('node token create -o yaml')).stderr, /--output: only json is known/)
    assert.match(
      (await bed.run(['node', 'token', 'create', '--workload-id', 'A B'])).stderr,
      /spec\.workloadID/,
    )
    assert.match(
      (await bed.run(['node', 'token', 'create', '--group=g/one', '--group', 'bad group!'])).stderr,
      /spec\.daemonGroups\[1\]: Invalid value: "bad group!": must be a path/,
    )
  })

  test('audit shows what was done, newest last, and as it was written', async () => {
    await run('ctl apply -f -', serviceManifest('audited'))
    const text = await run('audit --limit 1')
    assert.match(text.stdout, /^20\S+Z system:admin by tideway-ctl create Service\/audited ok\n$/)
    const json = JSON.parse((await run('audit --limit 1 -o json')).stdout) as { object: string }
    assert.equal(json.object, 'Service/audited')
    assert.equal((await run('audit --limit many')).code, 2)
    assert.equal((await run('audit -o yaml')).code, 2)
  })

  test('audit -f goes on until it is interrupted', async () => {
    const stop = new AbortController()
    const seen = Promise.withResolvers<void>()
    const onPrint = (text: string) => {
      if (text.includes('delete Service/followed')) seen.resolve()
    }
    const following = bed.run(['audit', '-f', '--limit', '1'], { signal: stop.signal, onPrint })
    await run('ctl apply -f -', serviceManifest('followed'))
    await run('ctl delete svc followed')
    await seen.promise
    stop.abort(new Error('stopped by SIGINT'))
    const { stdout } = await following
    assert.match(stdout, /create Service\/followed ok\n.*delete Service\/followed ok\n$/)
  })

  test('oidc publish writes exactly what the server serves, also after a rotation', async () => {
    const fetch = openFetch({ caPem: readFileSync(bed.ready.caFile!, 'utf8') })
    const served = async (path: string) =>
      (await (await fetch(`${bed.ready.url}/oidc${path}`)).json()) as {
        keys: { kid: string }[]
        issuer: string
        jwks_uri: string
      }
    const directory = join(bed.folder, 'public')
    const published = (path: string) =>
      JSON.parse(readFileSync(join(directory, path), 'utf8')) as { keys: { kid: string }[]; jwks_uri: string }
    const discovery = '/.well-known/openid-configuration'

    const { code, stderr } = await run(`oidc publish ${directory}`)
    assert.equal(code, 0)
    assert.ok(stderr.includes(`upload it so that ${bed.ready.issuerUrl} serves it`))
    assert.deepEqual(published(discovery), await served(discovery))
    const keys = published(discovery).jwks_uri.slice(bed.ready.issuerUrl.length)
    assert.deepEqual(published(keys), await served(keys))
    assert.equal(published(keys).keys.length, 1)

    const rotated = await run('keys rotate')
    const kid = /^key (\S+) is published and signs workload tokens in /.exec(rotated.stdout)![1]!
    await run(`oidc publish ${directory}`)
    assert.deepEqual(published(keys), await served(keys))
    assert.equal(published(keys).keys[1]!.kid, kid)
    const listed = await run('keys list')
    assert.match(listed.stdout, new RegExp(`^KID .*\\n\\S+ +active .*\\n${kid} +published +\\ds +in `))
    const blocked = await run(`oidc publish ${bed.contexts}/below-a-file`)
    assert.equal(blocked.code, 2)
    assert.match(blocked.stderr, /ENOTDIR/)
  })

  test('the CA hash is that of the CA certificate', () => {
    const { raw } = new X509Certificate(readFileSync(bed.ready.caFile!))
    assert.equal(bed.ready.caHash, `sha256:${createHash('sha256').update(raw).digest('hex')}`)
  })
})
