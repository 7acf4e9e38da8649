// An informer of the client that people use, through restarts of the server and cuts of its connections.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { test } from 'node:test'
import { CoreV1Api, KubeConfig, makeInformer, type KubernetesObject } from '@kubernetes/client-node'
import { openTestBed, type TestServer } from '../src/server/program/fixture.ts'

const namespace = 'riptides-system'
const secrets = `/api/v1/namespaces/${namespace}/secrets`

/** One address for a server that comes back on another port each time. Connections of an earlier one are cut. */
async function openFront() {
  const sockets = new Set<Socket>()
  let target: string | undefined
  const front = createServer((client) => {
    const upstream = target === undefined ? undefined : connect(Number(new URL(target).port), '127.0.0.1')
    if (!upstream) return void client.destroy()
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        other.destroy()
      })
    }
    client.pipe(upstream).pipe(client)
    return undefined
  }).listen(0, '127.0.0.1')
  await once(front, 'listening')
  return {
    port: (front.address() as AddressInfo).port,
    lead(url: string | undefined) {
      target = url
    },
    cut() {
      for (const socket of sockets) socket.destroy()
    },
    async [Symbol.asyncDispose]() {
      this.cut()
      front.close()
      await once(front, 'close')
    },
  }
}

/** Creates, changes and deletes Secrets, of which nobody but us writes; returns what an informer should have seen. */
async function write(server: TestServer, round: number): Promise<string[]> {
  const seen: string[] = []
  const send = async (method: string, name: string, labels?: Record<string, string>) => {
    const path = method === 'POST' ? secrets : `${secrets}/${name}`
    const body = labels && { apiVersion: 'v1', kind: 'Secret', metadata: { name, labels } }
    const answer = await server.call(method, path, body)
    assert.ok(answer.status < 300, JSON.stringify(answer.body))
    return (answer.body as { metadata: { resourceVersion: string } }).metadata.resourceVersion
  }
  for (const letter of ['a', 'b', 'c']) {
    const name = `${letter}${round}`
    seen.push(`add ${name} ${await send('POST', name, { step: '1' })}`)
    seen.push(`update ${name} ${await send('PUT', name, { step: '2' })}`)
  }
  await send('DELETE', `b${round}`)
  seen.push(`delete b${round}`)
  return seen
}

test('an informer sees every change once, through restarts of the server and cuts of its connection', async (t) => {
  const bed = await openTestBed(t)
  await using front = await openFront()
  let server = await bed.start()
  let up = Promise.withResolvers<void>()
  const lead = () => {
    front.lead(server.ready.url)
    up.resolve()
  }
  lead()

  const config = new KubeConfig()
  const caData = Buffer.from(bed.access!.caPem!).toString('base64')
  config.loadFromClusterAndUser(
    { name: 'tideway', server: `https://127.0.0.1:${front.port}`, caData, skipTLSVerify: false },
    { name: 'admin', token: bed.access!.token.revealText() },
  )
  const api = config.makeApiClient(CoreV1Api)
  const informer = makeInformer(config, secrets, () => api.listNamespacedSecret({ namespace }))
  const seen: string[] = []
  let finished: () => void = () => {}
  const finish = new Promise<void>((resolve) => (finished = resolve))
  const versioned = ({ metadata }: KubernetesObject) => `${metadata?.name} ${metadata?.resourceVersion}`
  informer.on('add', (object) => {
    if (object.metadata?.name === 'end') finished()
    else seen.push(`add ${versioned(object)}`)
  })
  informer.on('update', (object) => seen.push(`update ${versioned(object)}`))
  informer.on('delete', ({ metadata }) => seen.push(`delete ${metadata?.name}`))
  let stopped = false
  informer.on('error', () => {
    void up.promise.then(() => (stopped ? undefined : informer.start()))
  })
  t.after(() => {
    stopped = true
    return informer.stop()
  })
  await informer.start()

  const expected: string[] = []
  for (let round = 0; round < 4; round++) {
    expected.push(...(await write(server, round)))
    if (round % 2 === 0) front.cut()
    else {
      up = Promise.withResolvers<void>()
      front.lead(undefined)
      await server.stop()
      server = await bed.start()
      // Written before the informer is back: it has to ask for what it missed.
      expected.push(...(await write(server, 100 + round)))
      lead()
    }
  }
  await server.call('POST', secrets, { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'end' } })
  await finish
  assert.deepEqual(seen, expected)
})
