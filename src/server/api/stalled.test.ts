import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import type { IncomingMessage } from 'node:http'
import { finished } from 'node:stream/promises'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { silentLog } from '#base/log'
import { service } from './test-objects.ts'
import { openTestServer, type TestServer } from './test-server.ts'

const large = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`a${index}`, 'x'.repeat(4_000)]))

/** A watch of all Services, of which nothing has been read but the head. */
async function openWatch({ url, ca, token }: TestServer): Promise<IncomingMessage> {
  const path = '/apis/core.riptides.io/v1alpha1/namespaces/riptides-system/services?watch=true'
  const headers = { authorization: `Bearer ${token}` }
  const sent = request(url + path, { ca, headers, agent: false }).end()
  const [answer] = (await once(sent, 'response')) as [IncomingMessage]
  return answer.on('error', () => {})
}

test('a watch that is not read is ended; others that are read go on, and so do writes', async () => {
  const told: string[] = []
  const log = { ...silentLog, info: (event: string) => void told.push(event) }
  await using server = await openTestServer({ stalledMs: 500, log })
  const stalled = await openWatch(server)
  const other = await openWatch(server)
  let text = ''
  other.setEncoding('utf8').on('data', (part: string) => (text += part))
  const seen = () => [...text.matchAll(/"resourceVersion":"(\d+)"/g)].map(([, version]) => version)
  const written: string[] = []
  const write = async () => {
    const { object } = await server.client.apply({
      ...service(),
      metadata: { name: 'watched', annotations: { ...large, round: String(written.length) } },
    })
    written.push(object.metadata.resourceVersion)
  }
  // The sockets take some megabytes in between them.
  while (!told.includes('api.reader.stalled')) await write()
  // Nobody learns of an end who does not read.
  stalled.resume()
  await assert.rejects(finished(stalled), { code: 'ECONNRESET' })
  assert.ok(!other.destroyed)
  await write()
  while (seen().length < written.length) await once(other, 'data')
  assert.deepEqual(seen(), written)
})

test('clients are asked whether they are still there when nothing comes from them', async (t) => {
  await using server = await openTestServer()
  const { socket } = await openWatch(server)
  t.after(() => socket.destroy())
  const hex = (port: number) => port.toString(16).toUpperCase().padStart(4, '0')
  const ends = new RegExp(`:${hex(socket.remotePort!)} \\w+:${hex(socket.localPort!)} (?:\\S+ ){2}(\\d\\d):`)
  const timer = () => ends.exec(readFileSync('/proc/net/tcp', 'utf8'))?.[1]
  // That of what has not been acknowledged may run first.
  for (let looks = 0; looks < 100 && timer() !== '02'; looks++) await delay(10)
  assert.equal(timer(), '02', 'keep-alive is the timer that runs')
})
