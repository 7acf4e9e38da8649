// Current clients as workloads without a credential: in `tideway run`, to Ceph RGW, an S3 that owes nothing to us.
// By hand, as root: npm run test:peers.
import { after, before, test, type TestContext } from 'node:test'
import path from 'node:path'
import { runCommand } from '../rgw/command.ts'
import { openWorld, type World } from '../rgw/world.ts'
import { installPrograms, sources, type Programs } from './programs.ts'
import { report, type Limit } from './report.ts'

const uid = 61_021
/** What this Ceph or the client does not do. The first two happen without Tideway too, with keys of its administrator. */
const limits: readonly Limit[] = [
  { client: /AWS CLI/, what: 'put and get nothing', reason: 'the CLI cannot read what Ceph answers' },
  {
    client: /(?:minio-go|Java) over http, with keys/,
    what: 'put and get nothing',
    reason: 'Ceph computes another hash of an empty body that is signed in chunks',
  },
  { client: /curl/, what: 'put and get a stream', reason: 'Ceph wants a length (411)' },
  {
    client: /Go over https/,
    what: 'put and get a stream in parts',
    reason: 'the uploader always puts a checksum behind the body, which Ceph does not know',
  },
  {
    client: /Go over http,/,
    what: 'put and get a stream with a trailer',
    reason: 'the SDK refuses it without TLS',
  },
]

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
  const result = await runCommand(world.tideway.enclose(command), {
    env,
    cwd: home,
    uid,
    gid: uid,
  })
  await report(t, result, limits)
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
