import assert from 'node:assert/strict'
import { execFile, execFileSync, spawnSync } from 'node:child_process'
import type { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { connect, createServer, type Server } from 'node:tls'
import { promisify } from 'node:util'
import { makeInterceptChain, makeKey } from './fixture.ts'
import {
  certificatesToPem,
  createCertificateRequest,
  parseCertificateRequest,
  type SubjectName,
} from './index.ts'

const run = promisify(execFile)

/** Why a test that needs the program `command` is left out; false where it is installed. */
function without(command: string): string | false {
  return spawnSync(command, ['--version']).error === undefined ? false : `${command} is not installed`
}

const at = Date.now()
const bound = ['api.example.com', '*.s3.example.org', '10.0.0.1', '127.0.0.1']
const chain = makeInterceptChain(bound, at)
const allowed = ['api.example.com', 'bucket.s3.example.org', '10.0.0.1']
const foreign = [
  'evil.example',
  'x.api.example.com',
  'example.com',
  'notapi.example.com',
  '10.0.0.2',
  '::1',
  '::',
]

/** Of a file with root, intermediate and leaves, whether each leaf is taken. */
const verifyInJava = `
import java.nio.file.*; import java.security.cert.*; import java.util.*;
class Verify {
  public static void main(String[] files) throws Exception {
    var factory = CertificateFactory.getInstance("X.509");
    var all = new ArrayList<Certificate>(factory.generateCertificates(Files.newInputStream(Path.of(files[0]))));
    var how = new PKIXParameters(Set.of(new TrustAnchor((X509Certificate) all.get(0), null)));
    how.setRevocationEnabled(false);
    for (var leaf : all.subList(2, all.size())) try {
      CertPathValidator.getInstance("PKIX").validate(factory.generateCertPath(List.of(leaf, all.get(1))), how);
      System.out.println("yes");
    } catch (Exception e) { System.out.println("no"); }
  }
}`

const clients = {
  'python3 ssl': (port: number, host: string, ca: string) =>
    run('python3', [
      '-c',
      `import socket, ssl, sys
ca, port, host = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.verify_flags |= ssl.VERIFY_X509_STRICT
context.wrap_socket(socket.create_connection(('127.0.0.1', int(port))), server_hostname=host).close()`,
      ca,
      String(port),
      host,
    ]),
  curl: (port: number, host: string, ca: string) =>
    run('curl', [
      '--silent',
      '--show-error',
      '--noproxy',
      '*',
      '--cacert',
      ca,
      '--connect-to',
      `::127.0.0.1:${port}`,
      `https://${host.includes(':') ? `[${host}]` : host}/`,
    ]),
  'node:tls': async (port: number, host: string) => {
    const socket = connect({
      port,
      host: '127.0.0.1',
      ca: chain.rootPem,
      ...(/^[a-z]/.test(host) && { servername: host }),
    })
    socket.on('error', () => {})
    // Without a name in SNI the socket checks the address that it dialled.
    await Promise.race([
      once(socket, 'secureConnect'),
      once(socket, 'error').then(([error]) => Promise.reject(error as Error)),
    ])
    socket.destroy()
  },
}

describe('an intercept chain as others verify it', () => {
  let folder: string
  let server: Server
  let presented: X509Certificate
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tideway-pki-'))
    await writeFile(join(folder, 'root.pem'), chain.rootPem)
    await writeFile(join(folder, 'intermediate.pem'), chain.intermediatePem)
    server = createServer((socket) => {
      socket.on('error', () => {})
      socket.end('HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n')
    })
    server.on('tlsClientError', () => {})
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  })
  after(async () => {
    server.close()
    await rm(folder, { recursive: true })
  })

  function present(leaf: X509Certificate): number {
    presented = leaf
    server.setSecureContext({
      key: chain.leafKeyPem,
      cert: certificatesToPem([presented, chain.intermediate]),
    })
    return (server.address() as AddressInfo).port
  }
  async function opensslVerify(leaf: X509Certificate): Promise<string> {
    const file = join(folder, 'leaf.pem')
    await writeFile(file, leaf.toString())
    const options = ['-x509_strict', '-purpose', 'sslserver', '-CAfile', join(folder, 'root.pem')]
    const { stdout } = await run('openssl', [
      'verify',
      ...options,
      '-untrusted',
      join(folder, 'intermediate.pem'),
      file,
    ])
    return stdout
  }

  it(
    'is accepted by openssl for bound hosts and refused for every other',
    { skip: without('openssl') },
    async () => {
      for (const host of allowed) assert.match(await opensslVerify(chain.leaf(host)), /: OK/)
      for (const host of foreign) {
        await assert.rejects(opensslVerify(chain.leaf(host)), /(permitted|excluded) subtree violation/, host)
      }
    },
  )

  it(
    'cannot certify other types of names, nor smuggle one beside a bound host',
    { skip: without('openssl') },
    async () => {
      const names: SubjectName[] = [
        { type: 'uri', value: 'spiffe://example.org/server' },
        { type: 'uri', value: 'https://invalid/' },
        { type: 'dns', value: 'evil.example' },
        { type: 'ip', value: '192.0.2.1' },
      ]
      for (const name of names) {
        const leaf = chain.leafNaming([{ type: 'dns', value: 'api.example.com' }, name])
        await assert.rejects(opensslVerify(leaf), /subtree violation/, name.value)
      }
    },
  )

  it('certifies nothing at all when nothing is bound', { skip: without('openssl') }, async () => {
    const empty = makeInterceptChain([], at)
    await writeFile(join(folder, 'empty-root.pem'), empty.rootPem)
    await writeFile(join(folder, 'empty.pem'), empty.intermediatePem)
    for (const host of ['api.example.com', 'invalid', '10.0.0.1', '::1']) {
      const file = join(folder, 'empty-leaf.pem')
      await writeFile(file, empty.leaf(host).toString())
      await assert.rejects(
        run('openssl', [
          'verify',
          '-CAfile',
          join(folder, 'empty-root.pem'),
          '-untrusted',
          join(folder, 'empty.pem'),
          file,
        ]),
        /subtree violation/,
        host,
      )
    }
  })

  it('is accepted by Java for bound hosts, addresses too', { skip: without('javac') }, async () => {
    const foreignToBoth = ['evil.example', 'example.com', '10.0.0.2', '::1', '::']
    for (const [hosts, foreign] of [
      [allowed, foreignToBoth],
      [['2001:db8::7'], [...foreignToBoth, '0.0.0.0', '192.0.2.0']],
    ] as const) {
      const { root, intermediate, leaf } = makeInterceptChain(hosts, at)
      const files = [root, intermediate, ...[...hosts, ...foreign].map(leaf)].map(String)
      await writeFile(join(folder, 'all.pem'), files.join(''))
      await writeFile(join(folder, 'Verify.java'), verifyInJava)
      const { stdout } = await run('java', [join(folder, 'Verify.java'), join(folder, 'all.pem')])
      assert.deepEqual(stdout.trim().split('\n'), [...hosts.map(() => 'yes'), ...foreign.map(() => 'no')])
    }
  })

  for (const [name, handshake] of Object.entries(clients)) {
    it(
      `is accepted by ${name} for bound hosts and refused for every other`,
      { skip: name !== 'node:tls' && without(name.split(' ')[0]!) },
      async () => {
        const ca = join(folder, 'root.pem')
        const reachable =
          name === 'node:tls' ? [...allowed.filter((host) => /^[a-z]/.test(host)), '127.0.0.1'] : allowed
        for (const host of reachable) await handshake(present(chain.leaf(host)), host, ca)
        for (const host of foreign) {
          await assert.rejects(
            async () => handshake(present(chain.leaf(host)), host, ca),
            /subtree violation/,
            host,
          )
        }
      },
    )
  }

  it('makes a leaf with exactly one name', () => {
    assert.equal(chain.leaf('api.example.com').subjectAltName, 'DNS:api.example.com')
    assert.equal(chain.leaf('10.0.0.1').subjectAltName, 'IP Address:10.0.0.1')
    assert.throws(() => chain.leaf('a.example, DNS:b.example'), TypeError)
  })
})

describe('certificate requests between us and others', () => {
  it('are understood by openssl, and openssl is understood', { skip: without('openssl') }, () => {
    const key = makeKey()
    const verified = execFileSync('openssl', ['req', '-inform', 'DER', '-verify', '-noout'], {
      input: createCertificateRequest(key),
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    assert.equal(verified.toString(), '')
    const [curve, name] = ['ec_paramgen_curve:P-256', 'subjectAltName=DNS:any']
    const options = ['-nodes', '-keyout', '/dev/null', '-subj', '/CN=any', '-addext', name, '-outform', 'DER']
    const der = execFileSync('openssl', ['req', '-new', '-newkey', 'ec', '-pkeyopt', curve, ...options], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    assert.equal(parseCertificateRequest(der).publicKey.asymmetricKeyType, 'ec')
  })
})
