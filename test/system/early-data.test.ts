import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { createServer } from 'node:tls'
import { host, openBed, scopeOf, serverIdentity } from '../../src/daemon/outbound/fixture.ts'

/** SECURITY: what is sent before the handshake is done can be sent again by anyone who saw it (security rule 16). */
test('a client that resumes its session is offered no early data, and has none accepted', async (t) => {
  await using bed = openBed()
  const seen: string[] = []
  const upstream = createServer(serverIdentity(host, { authority: bed.upstreamCa }), (socket) => {
    socket.on('error', () => {})
    socket.on('data', (bytes) => {
      seen.push(String(bytes).split('\r\n', 1)[0]!)
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone')
    })
  }).listen(0, '127.0.0.1')
  await once(upstream, 'listening')
  t.after(() => upstream.close())
  const { port } = upstream.address() as AddressInfo
  bed.plane.apply(scopeOf(port))
  const proxy = await bed.listen({ address: '127.0.0.1', port })

  const folder = mkdtempSync(join(tmpdir(), 'tideway-early-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const session = join(folder, 'session')
  const request = (path: string) =>
    `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nx-amz-content-sha256: UNSIGNED-PAYLOAD\r\n\r\n`
  const early = join(folder, 'early')
  writeFileSync(early, request('/early'))

  /** Connects with openssl, sends a request once the handshake is done, and tells what openssl said. */
  async function connect(options: readonly string[]): Promise<string> {
    const address = ['-connect', `127.0.0.1:${proxy.port}`, '-servername', host, '-alpn', 'http/1.1']
    const client = spawn('openssl', ['s_client', '-tls1_3', ...address, ...options], {
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    const ended = once(client, 'close')
    let said = ''
    client.stdin.write(request('/late'))
    for await (const text of client.stdout.setEncoding('utf8')) {
      said += text
      if (said.endsWith('done')) break
    }
    client.kill()
    await ended
    return said
  }

  const first = await connect(['-sess_out', session])
  assert.match(first, /New, TLSv1\.3/)
  const ticket = execFileSync('openssl', ['sess_id', '-in', session, '-text', '-noout'], { encoding: 'utf8' })
  assert.match(ticket, /^ *TLS session ticket:$/m)
  assert.match(ticket, /^ *Max Early Data: 0$/m)
  const second = await connect(['-sess_in', session, '-early_data', early])
  assert.match(second, /Reused, TLSv1\.3/)
  assert.match(second, /Early data was (not sent|rejected)/)
  assert.deepEqual(seen, ['GET /late HTTP/1.1', 'GET /late HTTP/1.1'])
})
