// Current clients as workloads without a credential: through the kernel's capture, to the emulator, which verifies
// every signature. By hand, as root: npm run test:peers.
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { chownSync, existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { text as readAll } from 'node:stream/consumers'
import { after, before, test, type TestContext } from 'node:test'
import { mustRun } from '../rgw/command.ts'
import { daemonGroup, source } from '../system/stack/resources.ts'
import { openWorld, uids, type World } from '../system/stack/world.ts'
import { installPrograms, sources, type Programs } from './programs.ts'
import { report, type Limit } from './report.ts'

const hosts = ['s3', 'sts', 'ssm', 'bedrock-runtime'].map((label) => `${label}.us-east-1.amazonaws.com`)
const cloud = 'cloud'

const limits: readonly Limit[] = ['invoke a model', 'invoke a model that streams'].map((what) => ({
  client: /Go with no keys/,
  what,
  reason: 'the SDK itself panics for want of a bearer token',
}))

const object = (group: string, kind: string, name: string, spec: object) =>
  JSON.stringify({ apiVersion: `${group}.riptides.io/v1alpha1`, kind, metadata: { name }, spec })

let programs: Programs
let world: World
let home: string
let env: NodeJS.ProcessEnv
let trustStore: string

/** The root of the intercept CA alone: Java has no use for a bundle. */
async function makeTrustStore(bundle: string): Promise<string> {
  const certificates = readFileSync(bundle, 'utf8').match(/-----BEGIN[^]+?-----END CERTIFICATE-----/g) ?? []
  const own = certificates.find((pem) => /tideway/i.test(new X509Certificate(pem).subject))
  assert.ok(own, 'the bundle has the root of the intercept CA')
  const pem = path.join(home, 'intercept.pem')
  writeFileSync(pem, own)
  const store = path.join(home, 'trust.p12')
  const common = ['-noprompt', '-storetype', 'PKCS12', '-storepass', 'changeit']
  await mustRun(['keytool', '-importcert', '-file', pem, '-keystore', store, ...common])
  return store
}

before(async () => {
  // Before this process moves into a network of its own.
  programs = await installPrograms()
  world = await openWorld()
  await world.createRole(cloud, cloud, ['s3:*', 'ssm:*', 'bedrock:*', 'sts:*'])
  const identity = {
    workloadID: cloud,
    scope: { daemonGroup: { id: daemonGroup } },
    selectors: [{ 'process:uid': uids.identified }],
    connection: { tls: { intercept: true } },
  }
  await world.apply(
    object('core', 'WorkloadIdentity', cloud, identity),
    source(cloud),
    object('core', 'Service', cloud, {
      labels: { app: cloud },
      addresses: hosts.map((address) => ({ address, port: 443 })),
      external: true,
    }),
    object('core', 'CredentialBinding', cloud, {
      workloadID: cloud,
      credentialSource: cloud,
      propagation: { injection: { selectors: [{ app: cloud }] } },
    }),
  )
  await world.untilBound(cloud)
  home = mkdtempSync(path.join(world.place.base, 'home-'))
  chownSync(home, uids.identified, uids.identified)
  const bundle = path.join(world.layout.run, 'certs', 'ca-certificates.crt')
  env = {
    HOME: home,
    LANG: 'C.UTF-8',
    AWS_CA_BUNDLE: bundle,
    CURL_CA_BUNDLE: bundle,
    SSL_CERT_FILE: bundle,
    AWS_EC2_METADATA_DISABLED: 'true',
    // The names that the test's host knows: without it botocore asks s3.amazonaws.com.
    AWS_S3_US_EAST_1_REGIONAL_ENDPOINT: 'regional',
  }
  trustStore = await makeTrustStore(bundle)
})
after(async () => {
  await world?.[Symbol.asyncDispose]()
})

async function run(t: TestContext, ...command: readonly string[]): Promise<void> {
  const as = ['setpriv', `--reuid=${uids.identified}`, `--regid=${uids.identified}`, '--clear-groups']
  const child = world.place.start('work', [...as, ...command], { env })
  child.stdin!.end()
  const [stdout, [code]] = await Promise.all([
    readAll(child.stdout!),
    once(child, 'close') as Promise<[number | null]>,
  ])
  await report(t, { code: code ?? 1, stdout, stderr: '' }, limits)
}

const commands = (program: string, mode: string) => [
  '/bin/sh',
  path.join(sources, 'commands.sh'),
  program,
  mode,
  path.join(home, `${path.basename(path.dirname(program))}-${mode}`),
]

for (const mode of ['unsigned', 'dummy']) {
  const keys = mode === 'dummy' ? 'keys that are nobody’s' : 'no keys'

  test(`boto3 with ${keys}`, (t) => run(t, programs.python, path.join(sources, 'boto.py'), mode))
  test(`the AWS CLI with ${keys}`, (t) =>
    run(t, ...commands(path.join(path.dirname(programs.python), 'aws'), mode)))
  test(`the AWS SDK for Go with ${keys}`, (t) => run(t, programs.go, 'aws', mode))
  test(`the AWS SDK for Java with ${keys}`, (t) =>
    run(
      t,
      'java',
      `-Djavax.net.ssl.trustStore=${trustStore}`,
      '-Djavax.net.ssl.trustStorePassword=changeit',
      '-cp',
      programs.java,
      'Peer',
      mode,
    ))
  test(`minio-go with ${keys}`, (t) => run(t, programs.go, 'minio', mode, `https://${hosts[0]}`))
  test(`curl with ${keys}`, (t) => run(t, ...commands('/usr/bin/curl', mode)))
}

test("Debian's AWS CLI", { skip: existsSync('/usr/bin/aws') ? false : 'awscli is not installed' }, (t) =>
  run(t, ...commands('/usr/bin/aws', 'unsigned')),
)
