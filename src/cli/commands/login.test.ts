import assert from 'node:assert/strict'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { decodeJwt } from 'jose'
import { parse } from 'yaml'
import { openCliBed, type CliBed } from './fixture.ts'
import { openProvider, type TestProvider } from './provider-fixture.ts'

const manifests = ({ issuer, caPem }: TestProvider) => `
apiVersion: core.riptides.io/v1alpha1
kind: IdentityProvider
metadata: { name: corp }
spec:
  name: Example Corp
  oidc:
    issuer: ${issuer}${caPem === undefined ? '' : `\n    caBundle: ${JSON.stringify(caPem)}`}
    audiences: [tideway]
    usernameClaim: email
    groupsClaim: groups
---
apiVersion: core.riptides.io/v1alpha1
kind: OIDCClient
metadata: { name: cli }
spec:
  native: {}
  identityProvider: corp
  clientID: tideway
  scopes: [openid, email, groups, offline_access]
  redirectUrls: [http://127.0.0.1/callback]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: developers }
subjects: [{ kind: Group, name: 'corp:dev' }]
roleRef: { kind: ClusterRole, name: viewer }
`

/** Lets people log in at `provider`. */
async function trustProvider(bed: CliBed, provider: TestProvider): Promise<void> {
  const manifest = await bed.file('access.yaml', manifests(provider))
  assert.equal((await bed.run(['ctl', 'apply', '-f', manifest])).code, 0)
  for (const kind of ['identityprovider/corp', 'oidcclient/cli']) {
    const waited = await bed.run(['ctl', 'wait', kind, '--for', 'AVAILABLE', '--timeout', '60'])
    assert.equal(waited.code, 0, waited.stderr)
  }
}

/** Runs a command that asks to log in, and does that as soon as it has said where. */
async function runAndBrowse(
  bed: CliBed,
  provider: TestProvider,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
) {
  const page = Promise.withResolvers<string>()
  const running = bed.run(args, {
    env,
    onSay: (text) => {
      const url = /https?:\S+(?:auth|device)\?\S+/.exec(text)?.[0]
      if (url !== undefined) page.resolve(provider.browse(url))
    },
  })
  running.then(page.resolve.bind(undefined, ''), page.reject)
  const shown = await page.promise
  return { ...(await running), shown }
}

describe('logging in at an external provider', () => {
  let bed: CliBed
  let provider: TestProvider
  const stack = new AsyncDisposableStack()

  before(async () => {
    bed = stack.use(await openCliBed())
    provider = stack.use(await openProvider())
    await trustProvider(bed, provider)
  })
  after(() => stack.disposeAsync())

  /** A folder of its own for a person, and the command line as that person uses it. */
  function person(name: string) {
    const folder = join(bed.folder, name)
    const file = join(folder, 'contexts.yaml')
    const run = (args: readonly string[], env: NodeJS.ProcessEnv = {}) =>
      bed.run(args, { env: { TIDEWAY_CONTEXTS: file, ...env } })
    return {
      folder,
      file,
      run,
      runAndBrowse: (args: readonly string[]) =>
        runAndBrowse(bed, provider, args, { TIDEWAY_CONTEXTS: file }),
      loginFile: join(folder, 'logins', 'work.json'),
    }
  }

  const add = () => ['context', 'add', 'work', `--url=${bed.ready.url}`, `--ca-hash=${bed.ready.caHash}`]

  test('by the browser (authorization code with PKCE), and uses what the role allows', async () => {
    const { file, folder, loginFile, run, runAndBrowse } = person('ada')
    const added = await runAndBrowse(add())
    assert.equal(added.code, 0, added.stderr)
    assert.match(added.shown, /This window can be closed/)
    assert.match(added.stderr, /^log in at Example Corp:\n {2}https:.*code_challenge_method=S256/)
    assert.match(added.stderr, /\nlogged in at Example Corp\ncontext "work" added and made current\n$/)
    for (const path of [file, loginFile]) assert.equal((await stat(path)).mode & 0o777, 0o600)
    assert.deepEqual((await readdir(folder)).sort(), ['contexts.yaml', 'logins'])
    assert.doesNotMatch(await readFile(file, 'utf8'), /token:/)

    assert.equal((await run(['ctl', 'get', 'services'])).code, 0)
    const refused = await run(['ctl', 'delete', 'service', 'x'])
    assert.match(refused.stderr, /User "corp:ada@example.org" cannot delete resource "services"/)
    const trail = await bed.run(['audit'])
    assert.match(trail.stdout, /corp:ada@example.org \(oidc:corp, corp:dev\) delete Service\/x refused/)
  })

  test('by the browser, whatever somebody else sends to where that comes back', async () => {
    const { file } = person('dan')
    const page = Promise.withResolvers<string>()
    const browse = async (url: string) => {
      const redirect = new URL(url).searchParams.get('redirect_uri')!
      for (const query of ['', '?error=access_denied', '?code=a&state=b', '?error=x&state=']) {
        assert.equal((await fetch(redirect + query)).status, 404)
      }
      return await provider.browse(url)
    }
    const running = bed.run(add(), {
      env: { TIDEWAY_CONTEXTS: file },
      onSay: (text) => {
        const url = /https?:\S+auth\?\S+/.exec(text)?.[0]
        if (url !== undefined) page.resolve(browse(url))
      },
    })
    assert.match(await page.promise, /This window can be closed/)
    assert.equal((await running).code, 0)
  })

  test('by another device', async () => {
    const { run, runAndBrowse } = person('eve')
    const added = await runAndBrowse([...add(), '--device'])
    assert.equal(added.code, 0, added.stderr)
    assert.match(added.stderr, /on any device:\n.*\nand enter the code [A-Z-]+, or open\n/)
    assert.equal((await run(['ctl', 'get', 'services'])).code, 0)
  })

  test('again, where there is a context already', async () => {
    const { run, runAndBrowse } = person('zoe')
    const token = bed.admin.token.revealText()
    const input = { input: token, env: { TIDEWAY_CONTEXTS: person('zoe').file } }
    assert.equal((await bed.run([...add(), '--token-file=-'], input)).code, 0)
    assert.equal((await runAndBrowse(['context', 'login'])).code, 0)
    assert.match((await run(['ctl', 'delete', 'service', 'x'])).stderr, /User "corp:ada@example.org" cannot/)
    assert.equal((await run(['context', 'remove', 'work'])).code, 0)
    assert.deepEqual(await readdir(join(person('zoe').folder, 'logins')), [])
  })

  test('tokens that expired are refreshed, by one process at a time, until there is nothing to refresh', async () => {
    const { loginFile, run, runAndBrowse } = person('tim')
    // An ID token that is as good as expired when it is given.
    provider.life.idToken = 1
    assert.equal((await runAndBrowse(add())).code, 0)
    provider.life.idToken = 3600
    const first = JSON.parse(await readFile(loginFile, 'utf8')) as { idToken: string; refreshToken: string }
    const outcomes = await Promise.all(Array.from({ length: 4 }, () => run(['context', 'credential'])))
    const tokens = outcomes.map(({ stdout, stderr }) => {
      assert.equal(stderr, '')
      return (JSON.parse(stdout) as { status: { token: string } }).status.token
    })
    assert.equal(new Set(tokens).size, 1)
    assert.notEqual(tokens[0], first.idToken)
    assert.ok(decodeJwt(tokens[0]!).exp! > decodeJwt(first.idToken).exp!)
    assert.equal((await run(['ctl', 'get', 'services'])).code, 0)

    // The refresh token that was used is worth nothing any more.
    await writeFile(loginFile, JSON.stringify({ ...JSON.parse(await readFile(loginFile, 'utf8')), ...first }))
    const over = await run(['ctl', 'get', 'services'])
    assert.equal(over.code, 1)
    assert.match(over.stderr, /refused the login: invalid_grant\nhint: log in again: 'tideway context login'/)
  })

  test('from the first login to the last: adds, reads, is refreshed, logs out, and in again', async () => {
    const { loginFile, run, runAndBrowse } = person('kim')
    provider.life.idToken = 1
    assert.equal((await runAndBrowse(add())).code, 0)
    provider.life.idToken = 3600
    const before = JSON.parse(await readFile(loginFile, 'utf8')) as { idToken: string }
    const read = await run(['ctl', 'get', 'services'])
    assert.equal(read.code, 0, read.stderr)
    const login = JSON.parse(await readFile(loginFile, 'utf8')) as { idToken: string; refreshToken: string }
    assert.notEqual(login.idToken, before.idToken, 'it had expired')

    const out = await run(['context', 'logout'])
    assert.deepEqual(out, {
      code: 0,
      stdout: '',
      stderr: 'logged out of context "work"; its last token holds until it expires\n',
    })
    await assert.rejects(stat(loginFile))
    const refused = await run(['ctl', 'get', 'services'])
    assert.equal(refused.code, 1)
    assert.match(refused.stderr, /nobody is logged in to context "work"\nhint: tideway context login work/)
    assert.match((await run(['context', 'logout'])).stderr, /context "work": nobody is logged in to it/)

    // Whoever has kept a copy of the login cannot refresh it any more.
    await writeFile(loginFile, JSON.stringify({ ...login, idToken: before.idToken }), { mode: 0o600 })
    assert.match((await run(['ctl', 'get', 'services'])).stderr, /refused the login: invalid_grant/)
    assert.equal((await runAndBrowse(['context', 'login'])).code, 0)
    assert.equal((await run(['ctl', 'get', 'services'])).code, 0)
  })

  test('a context with a token has no login to end', async () => {
    const { code, stderr } = await bed.run(['context', 'logout'])
    assert.equal(code, 1)
    assert.match(stderr, /it has a token, not a login\nhint: tideway context remove default/)
  })

  test('the credential plugin answers in the version that it is asked in', async () => {
    const { run } = person('ada')
    for (const version of ['v1', 'v1beta1']) {
      const apiVersion = `client.authentication.k8s.io/${version}`
      const info = JSON.stringify({ apiVersion, kind: 'ExecCredential', spec: { interactive: false } })
      const { stdout } = await run(['context', 'credential', 'work'], { KUBERNETES_EXEC_INFO: info })
      const credential = JSON.parse(stdout) as { apiVersion: string; status: { expirationTimestamp: string } }
      assert.equal(credential.apiVersion, apiVersion)
      assert.ok(Date.parse(credential.status.expirationTimestamp) > Date.now())
    }
  })

  test('the kubeconfig that is printed holds the CA and no secret', async () => {
    const admin = await bed.run(['context', 'kubeconfig'])
    const config = parse(admin.stdout) as {
      clusters: { cluster: Record<string, string> }[]
      users: { user: { exec: { args: string[] } } }[]
    }
    const ca = Buffer.from(config.clusters[0]!.cluster['certificate-authority-data']!, 'base64').toString()
    assert.equal(ca, bed.admin.caPem)
    assert.deepEqual(config.users[0]!.user.exec.args, ['context', 'credential', 'default'])
    assert.ok(!admin.stdout.includes(bed.admin.token.revealText()))
  })

  test('a provider that lets nobody in says what is missing, or what to use instead', async () => {
    const provider = (name: string, method: string) =>
      `apiVersion: core.riptides.io/v1alpha1\nkind: IdentityProvider\nmetadata: { name: ${name} }\nspec: { name: x, ${method} }\n`
    const github = (more: string) =>
      provider('hub', `github: { clientID: app, requiredOrgs: [{ name: acme }]${more} }`)
    const documents = [
      provider('bits', 'bitbucket: { clientID: app }'),
      provider('dev', 'static: { email: ann@example.org, name: Ann }'),
      github(''),
    ]
    const apply = async (...texts: string[]) => {
      const applied = await bed.run([
        'ctl',
        'apply',
        '-f',
        await bed.file('providers.yaml', texts.join('---\n')),
      ])
      assert.equal(applied.code, 0, applied.stderr)
    }
    const messageOf = async (name: string, state: string) => {
      const waited = await bed.run(['ctl', 'wait', `idp/${name}`, '--for', state, '--timeout', '60'])
      assert.equal(waited.code, 0, waited.stderr)
      return (await bed.run(['ctl', 'get', 'idp', name, '-o', 'jsonpath={.status.message}'])).stdout
    }
    await apply(...documents)
    assert.match(await messageOf('bits', 'FAILED'), /spec\.bitbucket yet: use spec\.oidc/)
    assert.match(await messageOf('dev', 'FAILED'), /spec\.static yet: give a ServiceAccount a token/)
    assert.match(await messageOf('hub', 'FAILED'), /put it into a Secret, .* spec\.github\.clientSecretRef/)
    await apply(
      'apiVersion: v1\nkind: Secret\nmetadata: { name: hub }\nstringData: { key: x }\n',
      github(', clientSecretRef: { name: hub, key: key }'),
    )
    assert.match(
      await messageOf('hub', 'AVAILABLE'),
      /the OAuth app must have the authorization callback URL https:\/\/127\.0\.0\.1:\d+\/login\/providers\/hub\/callback/,
    )
  })

  test('a provider on loopback may do without TLS', async () => {
    await using bare = await openCliBed()
    await using plain = await openProvider('http')
    await trustProvider(bare, plain)
    const args = ['context', 'add', 'work', `--url=${bare.ready.url}`, `--ca-hash=${bare.ready.caHash}`]
    const env = { TIDEWAY_CONTEXTS: join(bare.folder, 'plain', 'contexts.yaml') }
    const added = await runAndBrowse(bare, plain, args, env)
    assert.equal(added.code, 0, added.stderr)
    assert.match(added.stderr, /^log in at Example Corp:\n {2}http:/)
  })

  test('where there is no provider, or nobody has logged in, it says what to do', async () => {
    const bare = await openCliBed()
    try {
      const url = [`--url=${bare.ready.url}`, `--ca-hash=${bare.ready.caHash}`]
      const nowhere = await bare.run(['context', 'add', ...url])
      assert.match(
        nowhere.stderr,
        /nobody can log in at .*: it has no OIDCClient\nhint: create an IdentityProvider/,
      )
      const both = await bare.run(['context', 'add', ...url, '--device', '--token-file=-'])
      assert.match(both.stderr, /give either --token-file or --device/)
    } finally {
      await bare[Symbol.asyncDispose]()
    }
  })
})
