/** Where a run of the bench happens: a folder of its own, certificates, free ports, cores. */
import { spawn, type ChildProcess } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '#base/clock'
import { certificatesToPem, createRootCertificate, issueCertificate } from '#model/pki'

/** What every request is for: S3 takes bodies without a hash of them. */
export const host = 's3.us-east-1.amazonaws.com'
export const cipherSuite = 'TLS_AES_256_GCM_SHA384'

/** Those that this process may run on. */
function allowedCores(): string[] {
  const [, list = '0'] = /^Cpus_allowed_list:\s+(\S+)$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
  return list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, index) => String(first + index))
  })
}

const [measured = '0', ...others] = allowedCores()
/** The cores of whom is measured, and those of the load and the upstream: apart where there are two. */
export const cores = { measured, load: others.length > 0 ? others.join(',') : measured }

export interface Place extends AsyncDisposable {
  readonly folder: string
  readonly caFile: string
  /** Certificate chain and key in one file, for `host` and 127.0.0.1. */
  readonly serverFile: string
  /** The CA and its key in one file, for who mints leaves. */
  readonly authorityFile: string
  /** OPENSSL_CONF of clients: one cipher suite only. */
  readonly clientConfig: string
  /** Starts a program that ends with this place; its output goes to a file of the folder. */
  start(
    name: string,
    command: readonly string[],
    options: { core: string; env?: NodeJS.ProcessEnv },
  ): ChildProcess
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

/** Resolves once somebody listens. */
export async function untilListening(port: number, child: ChildProcess): Promise<void> {
  while (child.exitCode === null && child.signalCode === null) {
    const socket = connect(port, '127.0.0.1')
    const answered = await Promise.race([
      once(socket, 'connect').then(() => true),
      once(socket, 'error').then(() => false),
    ]).catch(() => false)
    socket.destroy()
    if (answered) return
    await systemClock.sleep(50)
  }
  throw new Error(`${child.spawnargs.join(' ')} ended before it listened`)
}

function writeCertificates(folder: string) {
  const now = systemClock.now()
  const life = () => ({ serial: randomBytes(16), notBefore: now - 3_600_000, notAfter: now + 86_400_000 })
  const root = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const leaf = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const ca = createRootCertificate(root.privateKey, { commonName: 'bench root', ...life() })
  const certificate = issueCertificate({ key: root.privateKey, certificate: ca }, leaf.publicKey, {
    names: [
      { type: 'dns', value: host },
      { type: 'ip', value: '127.0.0.1' },
    ],
    extendedUsages: ['serverAuth'],
    ...life(),
  })
  const pem = (key: typeof root) => key.privateKey.export({ type: 'pkcs8', format: 'pem' })
  const write = (name: string, text: string) => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  return {
    caFile: write('ca.pem', certificatesToPem([ca])),
    serverFile: write('server.pem', certificatesToPem([certificate]) + pem(leaf)),
    authorityFile: write('authority.pem', certificatesToPem([ca]) + pem(root)),
    clientConfig: write(
      'client.cnf',
      `openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = tls\n[tls]\nCiphersuites = ${cipherSuite}\nMinProtocol = TLSv1.3\n`,
    ),
  }
}

export function openPlace(): Place {
  const folder = mkdtempSync(join(tmpdir(), 'tideway-bench-'))
  chmodSync(folder, 0o755)
  mkdirSync(join(folder, 'log'))
  const children = new Set<ChildProcess>()
  return {
    folder,
    ...writeCertificates(folder),
    start(name, command, { core, env = {} }) {
      const output = join(folder, 'log', name)
      const child = spawn(
        '/bin/sh',
        ['-c', 'exec >"$0" 2>&1; exec taskset -c "$@"', output, core, ...command],
        {
          stdio: 'ignore',
          env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', ...env },
        },
      )
      children.add(child)
      return child
    },
    async [Symbol.asyncDispose]() {
      for (const child of children) {
        if (child.exitCode !== null || child.signalCode !== null) continue
        const exited = once(child, 'exit')
        child.kill('SIGTERM')
        const late = AbortSignal.timeout(3_000)
        late.addEventListener('abort', () => child.kill('SIGKILL'))
        await exited
      }
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
