// h2spec against the intercepting side. By hand: npm run test:peers. Needs Go and the network.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createSecureServer, type ServerHttp2Stream } from 'node:http2'
import { mkdtempDisposable, readFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import {
  openAuthority,
  openBed,
  originOf,
  scopeOf,
  serverIdentity,
} from '../../src/daemon/outbound/fixture.ts'
import { mustRun, runCommand } from '../rgw/command.ts'

const module = 'github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible'
const address = '127.0.0.1'

/** What nghttp2 does otherwise, none of which lets a request pass: docs/decisions/0007-http2-as-streams-of-http1.md. */
const known = [
  'closed: Sends a DATA frame',
  'closed: Sends a DATA frame after sending RST_STREAM frame',
  'closed: Sends a HEADERS frame',
  'closed: Sends a HEADERS frame after sending RST_STREAM frame',
  'Sends PRIORITY frame that depend on itself',
  'Sends a PING frame with ACK',
  'Sends a PRIORITY frame with 0x0 stream identifier',
  'Sends multiple WINDOW_UPDATE frames increasing the flow control window to above 2^31-1 on a stream',
  'Sends stream identifier that is numerically smaller than previous',
]

const nameIn = /classname="([^"]*)"/

/** A data plane that terminates at `port`, in front of an upstream that answers everything. */
async function openIntercepted() {
  const stack = new AsyncDisposableStack()
  const authority = openAuthority('upstream')
  const upstream = createSecureServer(serverIdentity(address, { authority }))
  upstream.on('stream', (stream: ServerHttp2Stream) => {
    stream.on('error', () => {}).resume()
    stream.respond({ ':status': 200 })
    stream.end('long enough to be cut by small windows')
  })
  upstream.listen(0, address)
  await once(upstream, 'listening')
  stack.defer(() => void upstream.close())
  const { port: addressPort } = upstream.address() as AddressInfo
  const listener = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    bed.plane.accept(socket, originOf({ host: address, port }))
  })
  listener.listen(0, address)
  await once(listener, 'listening')
  stack.defer(() => void listener.close())
  const { port } = listener.address() as AddressInfo
  const bed = stack.use(
    openBed({
      upstreamTrust: { systemRootsPem: [authority.certificate.toString()] },
      connectTo: [{ host: address, port, address, addressPort }],
    }),
  )
  const signing = { service: 's3', region: 'us-east-1' }
  bed.plane.apply(scopeOf(port, { service: { addresses: [{ host: address, port }], signing } }))
  return { port, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

test('h2spec finds nothing but what is known', async () => {
  await using folder = await mkdtempDisposable(path.join(tmpdir(), 'tideway-h2spec-'))
  await mustRun(['go', 'install', module], { env: { ...process.env, GOBIN: folder.path } })
  await using intercepted = await openIntercepted()
  const report = path.join(folder.path, 'report.xml')
  const command = [path.join(folder.path, 'h2spec'), '--tls', '--insecure', '--timeout', '5']
  await runCommand([...command, '--port', String(intercepted.port), '--junit-report', report])
  const cases = (await readFile(report, 'utf8')).split('<testcase ').slice(1)
  assert(cases.length >= 145)
  const failed = cases.filter((text) => /<(?:failure|error)/.test(text)).map((text) => nameIn.exec(text)?.[1])
  assert.deepEqual(
    failed.filter((name) => !known.includes(name!)),
    [],
  )
})
