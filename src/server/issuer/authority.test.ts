import assert from 'node:assert/strict'
import {
  createHash,
  createPublicKey,
  createSecretKey,
  generateKeyPairSync,
  randomBytes,
  X509Certificate,
} from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { describe, it } from 'node:test'
import { connect, createServer, type DetailedPeerCertificate } from 'node:tls'
import { openTestClock } from '#base/clock'
import { isFault } from '#base/errors'
import { parseSpiffeId, parseTrustDomain } from '#model/identity'
import { createCertificateRequest, spiffeIdOf } from '#model/pki'
import { openCustody } from '#server/keys'
import { openMemoryStore } from '#server/store'
import { openCertificateAuthority, openServerCertificate } from './index.ts'

const trustDomain = parseTrustDomain('example.org')
const day = 86_400_000
const makeKey = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey

async function openStorage(clock = openTestClock(Date.now())) {
  const store = openMemoryStore()
  return { clock, store, custody: await openCustody(store, createSecretKey(randomBytes(32))) }
}

describe('the SPIFFE CA', () => {
  it('issues SVIDs for the key of the request and the ID of the caller, under a root that stays', async () => {
    const storage = await openStorage()
    const authority = await openCertificateAuthority({ ...storage, trustDomain })
    const key = makeKey()
    const spiffeId = parseSpiffeId('spiffe://example.org/riptides/daemon/one')
    const { chain, notAfter } = await authority.issueSvid({
      spiffeId,
      csrDer: createCertificateRequest(key),
      ttlSeconds: 3600,
      dnsNames: ['node.example.org'],
    })
    const [leaf] = chain
    assert.equal(spiffeIdOf(leaf!), spiffeId)
    assert.ok(leaf!.checkPrivateKey(key))
    assert.ok(!leaf!.ca)
    assert.equal(leaf!.checkHost('node.example.org'), 'node.example.org')
    assert.ok(Math.abs(notAfter - storage.clock.now() - 3_600_000) < 1000)
    const reopened = await openCertificateAuthority({ ...storage, trustDomain })
    const [root] = reopened.bundle()
    assert.ok(leaf!.checkIssued(root!) && leaf!.verify(root!.publicKey))
    assert.equal(root!.subjectAltName, 'URI:spiffe://example.org')
  })

  it('refuses a request without proof of the key', async () => {
    const authority = await openCertificateAuthority({ ...(await openStorage()), trustDomain })
    const csrDer = createCertificateRequest(makeKey())
    csrDer[csrDer.length - 1]! ^= 1
    const spiffeId = parseSpiffeId('spiffe://example.org/a')
    await assert.rejects(authority.issueSvid({ spiffeId, csrDer, ttlSeconds: 60 }), (error) =>
      isFault(error, 'CERTIFICATE_INVALID'),
    )
  })

  it('lets everything else of the server go on between the certificates of many who ask at once', async () => {
    const authority = await openCertificateAuthority({ ...(await openStorage()), trustDomain })
    const csrDer = createCertificateRequest(makeKey())
    await authority.issueIntermediate({ daemonName: 'one', csrDer, hosts: [] })
    let turns = 0
    const next = () => {
      turns += 1
      counting = setImmediate(next)
    }
    let counting = setImmediate(next)
    const asked = Array.from({ length: 160 }, () =>
      authority.issueIntermediate({ daemonName: 'one', csrDer, hosts: [] }),
    )
    await Promise.all(asked)
    clearImmediate(counting)
    // Few have a turn together: each turn of a busy server takes long, and all of them wait for the last.
    assert(turns >= 16 && turns <= 40, `${turns} turns`)
  })

  it('is one for servers that start at the same time', async () => {
    const storage = await openStorage()
    const open = () => openCertificateAuthority({ ...storage, trustDomain })
    const authorities = await Promise.all([open(), open(), open()])
    assert.equal(new Set(authorities.map((ca) => ca.bundle()[0]!.fingerprint256)).size, 1)
  })
})

describe('intercept roots', () => {
  it('differ between daemons, stay over restarts, and go when removed', async () => {
    const storage = await openStorage()
    const authority = await openCertificateAuthority({ ...storage, trustDomain })
    const one = await authority.interceptRoot('one')
    assert.notEqual(one.fingerprint256, (await authority.interceptRoot('two')).fingerprint256)
    const reopened = await openCertificateAuthority({ ...storage, trustDomain })
    assert.equal((await reopened.interceptRoot('one')).fingerprint256, one.fingerprint256)
    const held = { key: '/held', modRevision: 0 }
    await reopened.removeInterceptRoot('one', { ...held, modRevision: 1 })
    assert.equal((await reopened.interceptRoot('one')).fingerprint256, one.fingerprint256)
    await reopened.removeInterceptRoot('one', held)
    assert.notEqual((await reopened.interceptRoot('one')).fingerprint256, one.fingerprint256)
  })

  it('sign intermediates of at most a day that can sign leaves and nothing below', async () => {
    const storage = await openStorage()
    const authority = await openCertificateAuthority({ ...storage, trustDomain })
    const key = makeKey()
    const { chain, notAfter } = await authority.issueIntermediate({
      daemonName: 'one',
      csrDer: createCertificateRequest(key),
      hosts: ['api.example.com'],
    })
    const [intermediate, root] = chain
    assert.equal(root!.fingerprint256, (await authority.interceptRoot('one')).fingerprint256)
    assert.ok(intermediate!.verify(root!.publicKey))
    assert.ok(intermediate!.publicKey.equals(createPublicKey(key)))
    assert.ok(notAfter - intermediate!.validFromDate.getTime() <= day)
    assert.equal(authority.bundle().length, 1, 'an intercept root is no root of the trust domain')
  })
})

describe('the certificate of the HTTPS port', () => {
  it('is found by the hash of its CA, which it presents, and holds over restarts', async () => {
    const storage = await openStorage()
    const certificate = await openServerCertificate({ ...storage, hosts: ['tideway.example', '192.0.2.7'] })
    const server = createServer(certificate.tls(), (socket) => socket.end()).listen(0, '127.0.0.1')
    await once(server, 'listening')
    try {
      const { port } = server.address() as AddressInfo
      const socket = connect({
        port,
        host: '127.0.0.1',
        servername: 'tideway.example',
        ca: certificate.ca.toString(),
      })
      await once(socket, 'secureConnect')
      const leaf = socket.getPeerCertificate(true)
      const authority: DetailedPeerCertificate = leaf.issuerCertificate
      assert.equal(certificate.caHash, `sha256:${createHash('sha256').update(authority.raw).digest('hex')}`)
      for (const name of [
        'DNS:localhost',
        'DNS:tideway.example',
        'IP Address:127.0.0.1',
        'IP Address:192.0.2.7',
      ]) {
        assert.ok(leaf.subjectaltname?.includes(name), name)
      }
      socket.destroy()
    } finally {
      server.close()
    }
    assert.equal((await openServerCertificate({ ...storage, hosts: [] })).caHash, certificate.caHash)
  })

  it('is renewed where the clock was set beyond its life, or back to before it', async () => {
    const storage = await openStorage()
    const certificate = await openServerCertificate({ ...storage, hosts: [] })
    const stop = new AbortController()
    const lives: X509Certificate[] = []
    const onRenewed = ({ cert }: { cert: string }) => void lives.push(new X509Certificate(cert))
    const running = certificate.run({ signal: stop.signal, onRenewed })
    for (const by of [8 * day, -30 * day, -1000]) {
      await storage.clock.untilArmed()
      await storage.clock.set(by)
    }
    assert.equal(lives.length, 2)
    for (const [index, by] of [8 * day, -22 * day].entries()) {
      const at = storage.clock.now() + 22 * day + 1000 + by
      assert.ok(lives[index]!.validFromDate.getTime() < at && at < lives[index]!.validToDate.getTime())
    }
    stop.abort()
    await running
  })

  it('is renewed long before it expires', async () => {
    const storage = await openStorage()
    const certificate = await openServerCertificate({ ...storage, hosts: [] })
    const first = certificate.tls()
    const stop = new AbortController()
    const renewals: string[] = []
    const running = certificate.run({ signal: stop.signal, onRenewed: ({ cert }) => renewals.push(cert) })
    await storage.clock.untilArmed()
    await storage.clock.advance(3 * day)
    assert.equal(renewals.length, 0)
    await storage.clock.advance(day)
    assert.equal(renewals.length, 1)
    assert.equal(certificate.tls().cert, renewals[0])
    assert.notEqual(certificate.tls().key, first.key)
    stop.abort()
    await running
  })
})
