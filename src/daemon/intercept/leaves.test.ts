import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectTcp, createServer, type AddressInfo } from 'node:net'
import { test } from 'node:test'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { openTestClock, systemClock } from '#base/clock'
import { createRootCertificate, issueCertificate } from '#model/pki'
import { openLeaves, peekOpening, terminateTls, type LeafIssuer } from './index.ts'

const hour = 3_600_000

function issuer(lifeMs = 24 * hour): LeafIssuer {
  const now = systemClock.now()
  const life = { serial: randomBytes(16), notBefore: now - hour, notAfter: now + lifeMs }
  const root = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const certificate = createRootCertificate(root.privateKey, { commonName: 'root', ...life })
  const intermediate = issueCertificate({ key: root.privateKey, certificate }, keys.publicKey, {
    ...life,
    commonName: 'intermediate',
    authority: { pathLength: 0 },
  })
  return {
    key: keys.privateKey,
    chain: [intermediate, certificate],
    hosts: ['*.example', '*.s3.amazonaws.com', '127.0.0.1'],
  }
}

/** A server that terminates as the host that each ClientHello names. */
async function openTerminator(authority: LeafIssuer) {
  const leaves = openLeaves({ clock: systemClock, random: randomBytes })
  leaves.setIssuers([authority])
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    socket.on('error', () => {})
    const take = async () => {
      const opening = await peekOpening(socket).opening
      const host = opening.kind === 'hello' ? (opening.serverName ?? '127.0.0.1') : 'none'
      const tls = await terminateTls(socket, leaves.contextFor(host)!, ['h2', 'http/1.1'])
      tls.on('error', () => {})
      tls.end('hello')
    }
    take().catch(() => socket.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const rootPem = authority.chain[1]!.toString()
  return {
    rootPem,
    async handshake(servername: string, options: ConnectionOptions = {}): Promise<TLSSocket> {
      const socket = connect({ host: '127.0.0.1', port, servername, ca: rootPem, ...options })
      socket.resume()
      await once(socket, 'secureConnect')
      return socket
    },
    port,
    [Symbol.asyncDispose]: async () => void server.close(),
  }
}

test('a leaf has exactly one name and chains to the root through the intermediate', async () => {
  await using terminator = await openTerminator(issuer())
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const socket = await terminator.handshake('bucket.s3.amazonaws.com', {
      minVersion: version,
      maxVersion: version,
    })
    assert.equal(socket.getPeerX509Certificate()!.subjectAltName, 'DNS:bucket.s3.amazonaws.com')
    assert.equal(socket.getProtocol(), version)
    socket.destroy()
  }
})

test('a host that is an address gets a leaf for that address', async () => {
  await using terminator = await openTerminator(issuer())
  const socket = await terminator.handshake('')
  assert.equal(socket.getPeerX509Certificate()!.subjectAltName, 'IP Address:127.0.0.1')
  socket.destroy()
})

test('the first protocol that a client offers too is agreed on, and one that offers none is turned away', async () => {
  await using terminator = await openTerminator(issuer())
  const agreed: [offered: string[] | undefined, protocol: string | false][] = [
    [['http/1.1', 'h2'], 'h2'],
    [['h2'], 'h2'],
    [['http/1.1'], 'http/1.1'],
    [undefined, false],
  ]
  for (const [offered, protocol] of agreed) {
    const socket = await terminator.handshake('a.example', offered && { ALPNProtocols: offered })
    assert.equal(socket.alpnProtocol, protocol)
    socket.destroy()
  }
  await assert.rejects(
    terminator.handshake('a.example', { ALPNProtocols: ['spdy/3'] }),
    /alert no application protocol/,
  )
})

test('a session resumes at every worker, for its own host and for no other', async () => {
  const authority = issuer()
  await using worker = await openTerminator(authority)
  await using sibling = await openTerminator(authority)
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const options = { minVersion: version, maxVersion: version }
    const first = connect({
      host: '127.0.0.1',
      port: worker.port,
      servername: 'a.example',
      ca: worker.rootPem,
      ...options,
    })
    first.resume()
    const [session] = (await once(first, 'session')) as [Buffer]
    first.destroy()
    for (const server of [worker, sibling]) {
      const again = await server.handshake('a.example', { ...options, session })
      assert(again.isSessionReused())
      again.destroy()
      const other = await server.handshake('b.example', { ...options, session })
      assert(!other.isSessionReused())
      assert.equal(other.getPeerX509Certificate()!.subjectAltName, 'DNS:b.example')
      other.destroy()
    }
    await using successor = await openTerminator(issuer())
    const later = await successor.handshake('a.example', { ...options, session })
    assert(!later.isSessionReused(), 'its issuer is another')
    later.destroy()
  }
})

test('contexts are kept per host, minted anew for a new issuer, and bounded', () => {
  const leaves = openLeaves({ clock: systemClock, random: randomBytes, maxHosts: 2 })
  assert.equal(leaves.contextFor('a.example'), undefined)
  leaves.setIssuers([issuer()])
  const first = leaves.contextFor('a.example')
  assert.equal(leaves.contextFor('a.example'), first)
  leaves.contextFor('b.example')
  leaves.contextFor('a.example')
  leaves.contextFor('c.example')
  assert.equal(leaves.contextFor('a.example'), first)
  leaves.setIssuers([issuer()])
  assert.notEqual(leaves.contextFor('a.example'), first)
})

test('a host that its issuer may not issue for waits for one that may', async () => {
  const leaves = openLeaves({ clock: systemClock, random: randomBytes })
  const { signal } = new AbortController()
  const narrow = issuer()
  leaves.setIssuers([{ ...narrow, hosts: ['a.example', '*.b.example'] }])
  assert.ok(leaves.contextFor('x.b.example'))
  for (const host of ['b.example', 'x.y.b.example', 'c.example', '127.0.0.1'])
    assert.equal(leaves.contextFor(host), undefined, host)
  const waiting = leaves.untilContext('c.example', signal)
  leaves.setIssuers([narrow])
  assert.ok(await waiting)
  assert.equal(await leaves.untilContext('d.test', AbortSignal.abort()), undefined)
})

test('each of several issuers issues for its own hosts', () => {
  const leaves = openLeaves({ clock: systemClock, random: randomBytes })
  const [one, other] = [issuer(), issuer()]
  leaves.setIssuers([
    { ...one, hosts: ['a.example'] },
    { ...other, hosts: ['*.b.example'] },
  ])
  for (const host of ['a.example', 'x.b.example']) assert.ok(leaves.contextFor(host), host)
  assert.equal(leaves.contextFor('c.example'), undefined)
  leaves.setIssuers([{ ...other, hosts: ['*.b.example'] }])
  assert.equal(leaves.contextFor('a.example'), undefined)
})

test('a leaf is replaced at half of its life and never outlives its issuer', async () => {
  const clock = openTestClock(systemClock.now())
  const leaves = openLeaves({ clock, random: randomBytes })
  leaves.setIssuers([issuer(4 * hour)])
  const first = leaves.contextFor('a.example')
  await clock.advance(2.5 * hour)
  const second = leaves.contextFor('a.example')
  assert.notEqual(second, first)
  await clock.set(-2 * hour)
  assert.notEqual(leaves.contextFor('a.example'), second, 'it would be valid only later')
  await clock.set(2 * hour)
  await clock.advance(2 * hour)
  assert.equal(leaves.contextFor('a.example'), undefined)
})

test('a look leaves every byte in place', async () => {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const client = connectTcp(port, '127.0.0.1')
  const [socket] = await once(server, 'connection')
  client.end('GET / HTTP/1.1\r\n\r\n')
  const opening = await peekOpening(socket).opening
  assert.deepEqual(opening, { kind: 'not-tls' })
  let text = ''
  for await (const chunk of socket) text += String(chunk)
  assert.equal(text, 'GET / HTTP/1.1\r\n\r\n')
  server.close()
})

test('a look is called off only while nothing was said', async () => {
  const server = createServer({ pauseOnConnect: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const client = connectTcp(port, '127.0.0.1')
  const [socket] = await once(server, 'connection')
  const silent = peekOpening(socket)
  silent.callOff()
  assert.deepEqual(await silent.opening, { kind: 'silent' })
  const look = peekOpening(socket)
  client.destroy()
  assert.deepEqual(await look.opening, { kind: 'silent' })
  server.close()
})

test('the certificates sent are the leaf and its intermediate', async () => {
  const authority = issuer()
  await using terminator = await openTerminator(authority)
  const socket = await terminator.handshake('a.example')
  const { issuerCertificate } = socket.getPeerCertificate(true)
  assert.equal(new X509Certificate(issuerCertificate.raw).fingerprint256, authority.chain[0]!.fingerprint256)
  socket.destroy()
})
