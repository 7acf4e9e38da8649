// Bodies of any size through a worker whose memory stays flat, both ways, to an upstream that keeps nothing. By hand,
// as root: npm run test:peers. Prints what it measures.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
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
let upstream: ReturnType<typeof createServer>

const object = (group: string, kind: string, spec: object) =>
  JSON.stringify({ apiVersion: `${group}.riptides.io/v1alpha1`, kind, metadata: { name }, spec })

const block = Buffer.alloc(mebibyte, 'x')

function* bytes(count: number): Generator<Buffer> {
  for (let left = count; left > 0; left -= block.length) yield block.subarray(0, Math.min(left, block.length))
}

/** Answers a PUT with the number of bytes that came, and a GET of `/NUMBER` with so many. */
async function answer(request: IncomingMessage, to: ServerResponse): Promise<void> {
  if (request.method === 'GET') {
    const count = Number(request.url!.slice(1))
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
  upstream = createServer(world.authority.leafFor(host), (request, to) => {
    answer(request, to).catch(() => to.destroy())
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

async function upload(size: number, protocol: string): Promise<number> {
  const file = path.join(folder, 'sparse')
  writeFileSync(file, '')
  truncateSync(file, size)
  return Number(await curl(protocol, '-T', file, `https://${host}:${port}/key`))
}

async function download(size: number, protocol: string): Promise<number> {
  const url = `https://${host}:${port}/${size}`
  return Number(await curl(protocol, '-o', '/dev/null', '-w', '%{size_download}', url))
}

const ways: Readonly<Record<string, (size: number) => Promise<number>>> = {
  'uploaded over HTTP/1.1': (size) => upload(size, '--http1.1'),
  'uploaded over HTTP/2': (size) => upload(size, '--http2'),
  'downloaded over HTTP/1.1': (size) => download(size, '--http1.1'),
  'downloaded over HTTP/2': (size) => download(size, '--http2'),
}

for (const [way, transfer] of Object.entries(ways)) {
  test(`0 bytes to 5 GiB are ${way} in flat memory`, async (t) => {
    peak()
    let before = 0
    for (const size of sizes) {
      const start = systemClock.monotonic()
      assert.equal(await transfer(size), size)
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
