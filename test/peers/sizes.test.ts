// Bodies of any size through a worker whose memory stays flat, both ways, to an upstream that keeps nothing. By hand,
// as root: npm run test:peers. Prints what it measures.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2'
import path from 'node:path'
import { text as readAll } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { Readable, Writable } from 'node:stream'
import { after, before, test } from 'node:test'
import { systemClock } from '#base/clock'
import { cloudAddress } from '#cli/dev'
import { daemonGroup, source } from '../system/stack/resources.ts'
import { openWorld, uids, type World } from '../system/stack/world.ts'

const name = 'sizes'
const host = 's3.us-east-1.amazonaws.com'
const port = 8443
const mebibyte = 1 << 20
const sizes = [0, 1, 64 << 10, 100 * mebibyte, 1024 * mebibyte, 5 * 1024 * mebibyte]
/** How much more a worker may hold for 5 GiB than for what came before. */
const allowance = 64 * mebibyte

let world: World
let folder: string
let upstream: ReturnType<typeof createSecureServer>

const object = (group: string, kind: string, spec: object) =>
  JSON.stringify({ apiVersion: `${group}.riptides.io/v1alpha1`, kind, metadata: { name }, spec })

const block = Buffer.alloc(mebibyte, 'x')

function* bytes(count: number): Generator<Buffer> {
  for (let left = count; left > 0; left -= block.length) yield block.subarray(0, Math.min(left, block.length))
}

/** Answers a PUT with the number of bytes that came, a GET of `/NUMBER` with so many, and says in what version. */
async function answer(request: Http2ServerRequest, to: Http2ServerResponse): Promise<void> {
  to.setHeader('x-version', request.httpVersion)
  if (request.method === 'GET') {
    const count = Number(request.url.slice(1))
    to.writeHead(200, { 'content-length': count })
    await pipeline(Readable.from(bytes(count)), to)
    return
  }
  let count = 0
  const discard = new Writable({
    write(chunk: Buffer, _encoding, done) {
      count += chunk.length
      done()
    },
  })
  await pipeline(request, discard)
  to.end(String(count))
}

before(async () => {
  world = await openWorld()
  upstream = createSecureServer({ ...world.authority.leafFor(host), allowHTTP1: true }, (request, to) => {
    answer(request, to).catch(() => request.destroy())
  })
  upstream.listen(port, cloudAddress)
  await once(upstream, 'listening')
  await world.createRole(name, name, ['s3:*'])
  await world.apply(
    object('core', 'WorkloadIdentity', {
      workloadID: name,
      scope: { daemonGroup: { id: daemonGroup } },
      selectors: [{ 'process:uid': uids.identified }],
      connection: { tls: { intercept: true } },
    }),
    source(name),
    object('core', 'Service', {
      labels: { app: name },
      addresses: [{ address: host, port }],
      external: true,
    }),
    object('core', 'CredentialBinding', {
      workloadID: name,
      credentialSource: name,
      propagation: { injection: { selectors: [{ app: name }] } },
    }),
  )
  await world.untilBound(name)
  folder = mkdtempSync(path.join(world.place.base, 'open', 'sizes-'))
  chmodSync(folder, 0o755)
})
after(async () => {
  upstream?.close()
  await world?.[Symbol.asyncDispose]()
})

/** The most that a worker held since the last call, in bytes. */
function peak(): number {
  const peaks = world.daemonChildren().workers.map((pid) => {
    const [, kibibytes] = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))!
    writeFileSync(`/proc/${pid}/clear_refs`, '5')
    return Number(kibibytes) * 1024
  })
  return Math.max(...peaks)
}

async function curl(...args: readonly string[]): Promise<string> {
  const as = ['setpriv', `--reuid=${uids.identified}`, `--regid=${uids.identified}`, '--clear-groups']
  const bundle = path.join(world.layout.run, 'certs', 'ca-certificates.crt')
  const command = ['/usr/bin/curl', '-sS', '--fail-with-body', '--cacert', bundle, ...args]
  const child = world.place.start('work', [...as, ...command])
  child.stdin!.end()
  return await readAll(child.stdout!)
}

/** What was transferred, and the versions of HTTP that curl and upstream spoke. */
interface Transfer {
  readonly bytes: number
  readonly versions: readonly string[]
}

const versions = '%{http_version} %header{x-version}'

async function upload(size: number, protocol: string): Promise<Transfer> {
  const file = path.join(folder, 'sparse')
  writeFileSync(file, '')
  truncateSync(file, size)
  const said = await curl(protocol, '-T', file, '-w', ` ${versions}`, `https://${host}:${port}/key`)
  const [bytes, ...spoken] = said.split(' ')
  return { bytes: Number(bytes), versions: spoken }
}

async function download(size: number, protocol: string): Promise<Transfer> {
  const url = `https://${host}:${port}/${size}`
  const said = await curl(protocol, '-o', '/dev/null', '-w', `%{size_download} ${versions}`, url)
  const [bytes, ...spoken] = said.split(' ')
  return { bytes: Number(bytes), versions: spoken }
}

/** Upstream offers both, and is spoken to as the client speaks: curl calls HTTP/2 just that, Node 2.0. */
const spoken = { '--http1.1': ['1.1', '1.1'], '--http2': ['2', '2.0'] } as const
const ways = [
  ['uploaded', 'over HTTP/1.1', upload, '--http1.1'],
  ['uploaded', 'over HTTP/2', upload, '--http2'],
  ['downloaded', 'over HTTP/1.1', download, '--http1.1'],
  ['downloaded', 'over HTTP/2', download, '--http2'],
] as const

for (const [verb, over, transfer, protocol] of ways) {
  const way = `${verb} ${over}`
  test(`0 bytes to 5 GiB are ${way} in flat memory`, async (t) => {
    peak()
    let before = 0
    for (const size of sizes) {
      const start = systemClock.monotonic()
      assert.deepEqual(await transfer(size, protocol), { bytes: size, versions: spoken[protocol] })
      const seconds = (systemClock.monotonic() - start) / 1000
      const most = peak()
      t.diagnostic(
        `${way}: ${size} bytes in ${seconds.toFixed(1)} s, worker ${(most / mebibyte).toFixed(0)} MiB`,
      )
      if (size > 100 * mebibyte) assert.ok(most < before + allowance, `${most} bytes after ${before}`)
      else before = Math.max(before, most)
    }
  })
}
