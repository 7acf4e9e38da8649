import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { silentLog } from '#base/log'
import { resolveSettings } from '#base/settings'
import { emulatorSettings, runEmulator, type EmulatorReady } from '#emulator/program'
import { awsSetupScript } from '#cli/aws'
import { openCliBed, serviceManifest, type CliBed, type Outcome } from './fixture.ts'

const aws = '/usr/bin/aws'

/** Runs a shell script in which `aws` speaks to the emulator as the root user of its account. */
async function runScript(bed: CliBed, cloud: EmulatorReady, script: string): Promise<Outcome> {
  const bin = join(bed.folder, 'bin')
  await mkdir(bin, { recursive: true })
  await bed.file('bin/aws', `#!/bin/sh\nexec ${aws} --endpoint-url '${cloud.url}' "$@"\n`)
  await chmod(join(bin, 'aws'), 0o755)
  const file = await bed.file('setup.sh', script)
  const env = {
    PATH: `${bin}:/usr/bin:/bin`,
    HOME: '/nonexistent',
    AWS_SHARED_CREDENTIALS_FILE: cloud.rootCredentialsFile,
    AWS_CA_BUNDLE: cloud.caFile,
    AWS_DEFAULT_REGION: 'us-east-1',
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_PAGER: '',
  }
  return await new Promise((resolve) => {
    execFile('/bin/sh', [file], { env, timeout: 60_000 }, (error, stdout, stderr) => {
      resolve({ code: error ? (typeof error.code === 'number' ? error.code : 1) : 0, stdout, stderr })
    })
  })
}

const resources = (endpoint: string) => `apiVersion: core.riptides.io/v1alpha1
kind: WorkloadIdentity
metadata: { name: payments }
spec:
  workloadID: app/payments
  scope: { daemon: { id: riptides/daemon/none } }
  selectors: [{ process:uid: 1000 }]
---
apiVersion: core.riptides.io/v1alpha1
kind: CredentialSource
metadata: { name: aws }
spec:
  aws: { roleArn: 'arn:aws:iam::123456789012:role/teams/payments', endpoint: '${endpoint}' }
---
${serviceManifest('s3')}---
apiVersion: core.riptides.io/v1alpha1
kind: CredentialBinding
metadata: { name: payments }
spec:
  workloadID: app/payments
  credentialSource: aws
  propagation: { injection: { selectors: [{ app: s3 }] } }
`

describe('tideway setup aws', () => {
  const stack = new AsyncDisposableStack()
  let bed: CliBed
  let cloud: EmulatorReady
  before(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tideway-cloud-'))
    stack.defer(() => rm(folder, { recursive: true }))
    const stop = new AbortController()
    const started = Promise.withResolvers<EmulatorReady>()
    // Each trusts the other, so the emulator is told where the CA of the server will be.
    const dataDir = join(folder, 'server')
    const settings = resolveSettings(emulatorSettings, {
      flags: { listen: '127.0.0.1:0', stateDir: folder, issuerCa: join(dataDir, 'server-ca.pem') },
    })
    const ended = runEmulator(settings, { signal: stop.signal, log: silentLog, onReady: started.resolve })
    ended.catch(started.reject)
    stack.defer(async () => {
      stop.abort()
      await ended
    })
    cloud = await started.promise
    bed = stack.use(await openCliBed({ dataDir, exchangeCa: cloud.caFile }))
  })
  after(() => stack.disposeAsync())

  const run = (line: string, input = '') => bed.run(line.split(' '), { input })

  const skip = existsSync(aws) ? false : 'awscli is not installed: apt-get install awscli'
  test("the printed script runs with Debian's AWS CLI, and then the exchange works", { skip }, async () => {
    assert.equal((await run('ctl apply -f -', resources(cloud.url))).code, 0)
    const before = await run('ctl wait cs/aws --for condition=Exchanged=False')
    assert.equal(before.code, 0, before.stderr)

    const script = await run('setup aws payments')
    assert.equal(script.code, 0, script.stderr)
    assert.match(script.stderr, /Read it, then run it with administrator access to account 123456789012/)
    for (const round of ['creates', 'changes']) {
      const ran = await runScript(bed, cloud, script.stdout)
      assert.equal(ran.code, 0, `${round}: ${ran.stderr}`)
    }
    assert.equal((await run('ctl rotate cb/payments')).code, 0)
    const exchanged = await run('ctl wait cs/aws --for condition=Exchanged')
    assert.equal(exchanged.code, 0, exchanged.stderr)
    const { stdout } = await run('ctl get cb payments -o jsonpath={.status.credential.id}')
    assert.match(stdout, /^ASIA/)
  })

  test('what cannot be set up is said', async () => {
    await run('ctl apply -f -', resources(cloud.url))
    const refusals: [line: string, code: number, message: RegExp][] = [
      ['setup aws nope', 1, /credentialbindings\.core\.riptides\.io "nope" not found/],
      ['setup aws', 2, /missing required argument 'BINDING'/],
      ['setup aws payments --account-id 12', 2, /--account-id: 12 digits/],
      ['setup aws payments --issuer-url http://x', 2, /--issuer-url: an https/],
    ]
    for (const [line, code, message] of refusals) {
      const outcome = await run(line)
      assert.deepEqual([outcome.code, outcome.stdout], [code, ''])
      assert.match(outcome.stderr, message)
    }
    const elsewhere = await run('setup aws payments --issuer-url https://bucket.example.org/oidc')
    assert.match(elsewhere.stdout, /--url 'https:\/\/bucket\.example\.org\/oidc'/)
    assert.match(elsewhere.stdout, /oidc-provider\/bucket\.example\.org\/oidc/)
  })
})

test('what stands in resources cannot become a command of the script', () => {
  const script = awsSetupScript({
    partition: 'aws-cn',
    accountId: '123456789012',
    roleName: 'role',
    issuerUrl: "https://id.example/'$(touch x)'",
    audience: "a'; touch /tmp/x; '",
    subject: 'spiffe://example.org/app',
  })
  assert.match(script, /^audience='a'\\''; touch \/tmp\/x; '\\'''$/m)
  assert.match(script, /arn:aws-cn:iam::123456789012:oidc-provider/)
  assert.equal(spawnSync('/bin/sh', ['-n'], { input: script }).status, 0)
})
