// Current clients as workloads without a credential: in `tideway run`, to Ceph RGW, an S3 that owes nothing to us.
// By hand, as root: npm run test:peers.
import { after, before, test, type TestContext } from 'node:test'
import path from 'node:path'
import { runCommand } from '../rgw/command.ts'
import { openWorld, type World } from '../rgw/world.ts'
import { installPrograms, sources, type Programs } from './programs.ts'
import { report } from './report.ts'

const uid = 61_021
let programs: Programs
let world: World

before(async () => {
  programs = await installPrograms()
  world = await openWorld()
  await world.tideway.apply({
    apiVersion: 'core.riptides.io/v1alpha1',
    kind: 'Service',
    metadata: { name: 'ceph-plain' },
    spec: {
      labels: { app: 'objects' },
      addresses: [{ address: 'localhost', port: world.ceph.plainPort }],
      external: true,
      signing: { service: 's3', region: 'us-east-1' },
    },
  })
  await world.admit({ name: 'peers', uid })
  await world.tideway.untilStatus('credentialbinding', 'peers', ({ state }) => state === 'OK')
})
after(async () => {
  await world?.[Symbol.asyncDispose]()
})

async function run(t: TestContext, ...command: readonly string[]): Promise<void> {
  const home = world.home(uid)
  const env = {
    PATH: '/usr/bin:/bin',
    HOME: home,
    LANG: 'C.UTF-8',
    // This Ceph knows no checksums behind a body.
    AWS_REQUEST_CHECKSUM_CALCULATION: 'when_required',
    AWS_RESPONSE_CHECKSUM_VALIDATION: 'when_required',
  }
  const { stdout, stderr } = await runCommand(world.tideway.enclose(command), {
    env,
    cwd: home,
    uid,
    gid: uid,
  })
  await report(t, stdout || stderr)
}

const commands = (program: string, mode: string, url: string) => [
  '/bin/sh',
  path.join(sources, 'commands.sh'),
  program,
  mode,
  path.join(world.home(uid), `${path.basename(program)}-${mode}-${url.split(':')[0]}`),
  url,
]

for (const [scheme, url] of [
  ['https', () => world.ceph.url],
  ['http', () => `http://localhost:${world.ceph.plainPort}`],
] as const) {
  for (const mode of ['unsigned', 'dummy']) {
    const title = `over ${scheme}, ${mode === 'dummy' ? 'with keys that are nobody’s' : 'with no keys'}`
    test(`boto3 ${title}`, (t) => run(t, programs.python, path.join(sources, 'boto.py'), mode, url()))
    test(`the AWS CLI ${title}`, (t) =>
      run(t, ...commands(path.join(path.dirname(programs.python), 'aws'), mode, url())))
    test(`the AWS SDK for Go ${title}`, (t) => run(t, programs.go, 'aws', mode, url()))
    test(`minio-go ${title}`, (t) => run(t, programs.go, 'minio', mode, url()))
    test(`curl ${title}`, (t) => run(t, ...commands('/usr/bin/curl', mode, url())))
    // Java has no environment variable for the certificates that it trusts.
    if (scheme === 'http') {
      test(`the AWS SDK for Java ${title}`, (t) =>
        run(t, '/usr/bin/java', '-cp', programs.java, 'Peer', mode, url()))
    }
  }
}
