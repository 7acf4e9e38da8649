// Ceph RGW: an STS, an IAM and an S3 that owe nothing to us. Its scripts lie beside the project, or in
// $TIDEWAY_RGW.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { mustRun, runCommand } from './command.ts'
import { findFreePorts } from './ports.ts'

/** Disposal stops it and deletes all it wrote. */
export interface Ceph extends Disposable {
  /** `https://localhost:PORT`: STS, IAM and S3 in one. */
  readonly url: string
  readonly port: number
  /** The port of the same without TLS. */
  readonly plainPort: number
  readonly caFile: string
  readonly caPem: string
  /** Keys of its administrator, as the AWS CLI takes them. */
  readonly adminEnv: NodeJS.ProcessEnv
  /** Has it trust a CA when it fetches what an issuer publishes. */
  trust(name: string, pem: string): void
  /** How often its log says `text` so far. */
  countInLog(text: string): number
  /** What it served to the holder of a role session for `subject`, from its access log: `GET /bucket/key`. */
  servedTo(subject: string): readonly string[]
}

function scriptsFolder(): string {
  const folder = process.env['TIDEWAY_RGW'] ?? path.resolve(import.meta.dirname, '../../../shared/rgw')
  for (const script of ['up.sh', 'down.sh']) {
    if (!existsSync(path.join(folder, script))) {
      throw new Error(
        `no ${script} in ${folder}: set TIDEWAY_RGW to the folder of up.sh and down.sh of Ceph RGW`,
      )
    }
  }
  if (process.getuid!() !== 0) throw new Error('Ceph RGW is started as root: run the RGW tests as root')
  return folder
}

/** Starts it with its state in `folder`. @throws Error when it does not come up */
export async function startCeph(folder: string): Promise<Ceph> {
  const scripts = scriptsFolder()
  const first = await findFreePorts(23)
  const ports = { RGW_HTTP_PORT: first, RGW_HTTPS_PORT: first + 1, MON_PORT: first + 2, OSD_PORT: first + 3 }
  const env = {
    ...process.env,
    ...Object.fromEntries(Object.entries(ports).map(([name, port]) => [name, String(port)])),
    // Sessions of seconds, so that they expire within a test; any other name than this would be that of a bucket.
    RGW_OPTS: 'rgw_sts_min_session_duration = 2\nrgw_dns_name = localhost',
  }
  const up = path.join(scripts, 'up.sh')
  const ending = new AbortController()
  const wipe = () => {
    ending.abort()
    spawnSync(path.join(scripts, 'down.sh'), ['--wipe', folder], { stdio: 'ignore' })
    process.removeListener('exit', wipe)
  }
  // Its daemons would outlive this process, however that ends.
  process.prependOnceListener('exit', wipe)
  try {
    const options = { env, signal: ending.signal }
    // On a busy machine it takes a daemon that is just starting for dead; called again it goes on from there.
    const { code } = await runCommand([up, folder], options)
    if (code !== 0) await mustRun([up, folder], options)
  } catch (error) {
    wipe()
    throw error
  }
  const settings = Object.fromEntries(
    [...readFileSync(path.join(folder, 'env.sh'), 'utf8').matchAll(/(RGW_\w+)='?([^'\s]+)'?/g)].map(
      (match) => [match[1]!, match[2]!],
    ),
  )
  const caFile = settings['RGW_CA']!
  const readLog = () => readFileSync(settings['RGW_LOG']!, 'latin1')
  return {
    url: `https://localhost:${ports.RGW_HTTPS_PORT}`,
    port: ports.RGW_HTTPS_PORT,
    plainPort: ports.RGW_HTTP_PORT,
    caFile,
    caPem: readFileSync(caFile, 'utf8'),
    adminEnv: {
      PATH: process.env['PATH'],
      HOME: folder,
      AWS_ACCESS_KEY_ID: settings['RGW_ADMIN_AK'],
      AWS_SECRET_ACCESS_KEY: settings['RGW_ADMIN_SK'],
      AWS_DEFAULT_REGION: 'us-east-1',
      AWS_CA_BUNDLE: caFile,
    },
    trust: (name, pem) => writeFileSync(path.join(folder, 'tls/trust', `${name}.pem`), pem),
    countInLog: (text) => readLog().split(text).length - 1,
    servedTo: (subject) =>
      readLog()
        .split('\n')
        .filter((line) => line.includes(` - $oidc$${subject} [`) && !line.includes('"tideway"'))
        .map((line) => /"([A-Z]+ [^ ?]+)\S* HTTP\/1.1"/.exec(line)![1]!),
    [Symbol.dispose]: wipe,
  }
}
