// Several servers as processes on one database, behind balancers of connections as any L4 balancer is one.
import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, openSync, closeSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { loadContexts, type Context } from '#cli/context'
import type { PostgresTarget } from '#server/store'
import { freePort } from '../../../src/cli/dev/free-port.ts'

const tideway = path.resolve(import.meta.dirname, '../../../bin/tideway')
export const trustDomain = 'example.org'

export interface ServerProcess {
  readonly index: number
  /** Resolves when it is ready. */
  start(): Promise<void>
  kill(): Promise<void>
  log(): string
}

export interface Servers extends AsyncDisposable {
  readonly servers: readonly ServerProcess[]
  /** Through the balancer. */
  readonly url: string
  readonly context: Context
  /** The base URL of one of them. */
  urlOf(index: number): string
}

interface Balancer extends AsyncDisposable {
  readonly port: number
  backends: readonly number[]
}

/** Gives each connection to the next backend that answers. */
async function openBalancer(): Promise<Balancer> {
  const open = new Set<Socket>()
  let turn = 0
  const track = (socket: Socket) => {
    open.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => open.delete(socket))
    return socket
  }
  const server = createServer((client) => {
    track(client)
    const tries = balancer.backends.map(
      (_, index) => balancer.backends[(turn + index) % balancer.backends.length]!,
    )
    turn++
    const attempt = (): void => {
      const port = tries.shift()
      if (port === undefined) return void client.destroy()
      const backend = track(connect(port, '127.0.0.1'))
      backend.once('connect', () => {
        backend.off('error', attempt)
        client.pipe(backend).pipe(client)
        client.on('close', () => backend.destroy())
        backend.on('close', () => client.destroy())
      })
      backend.once('error', attempt)
    }
    attempt()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const balancer: Balancer = {
    port: (server.address() as AddressInfo).port,
    backends: [],
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return balancer
}

function isReady(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = request({ host: '127.0.0.1', port, path: '/readyz', agent: false }, (answer) => {
      answer.resume()
      resolve(answer.statusCode === 200)
    })
    asked.on('error', () => resolve(false))
    asked.end()
  })
}

export async function openServers(
  target: PostgresTarget,
  {
    count,
    exchangeCa,
    prepare = () => {},
  }: {
    count: number
    exchangeCa: string
    /** Is told where each is to have its data folder, before it starts. */
    prepare?: (dataDir: string, index: number) => void
  },
): Promise<Servers> {
  await using opening = new AsyncDisposableStack()
  const folder = mkdtempSync(path.join(tmpdir(), 'tideway-servers-'))
  opening.defer(() => rmSync(folder, { recursive: true }))
  const sealingKey = path.join(folder, 'sealing-key')
  writeFileSync(sealingKey, `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 })
  const ca = path.join(folder, 'cloud-ca.pem')
  writeFileSync(ca, exchangeCa)
  const contexts = path.join(folder, 'contexts.yaml')
  const api = opening.use(await openBalancer())
  const node = opening.use(await openBalancer())
  const ports = await Promise.all(Array.from({ length: 3 * count }, () => freePort('127.0.0.1')))
  const portsOf = (index: number) => ports.slice(3 * index, 3 * index + 3) as [number, number, number]
  api.backends = Array.from({ length: count }, (_, index) => portsOf(index)[0])
  node.backends = Array.from({ length: count }, (_, index) => portsOf(index)[1])
  const { user, database, host, port } = target

  function openServer(index: number): ServerProcess {
    const [apiPort, nodePort, healthPort] = portsOf(index)
    const logFile = path.join(folder, `server-${index}.log`)
    let child: ChildProcess | undefined
    const server: ServerProcess = {
      index,
      log: () => readFileSync(logFile, 'utf8'),
      async start() {
        const log = openSync(logFile, 'a')
        const args = [
          'server',
          `--data-dir=${path.join(folder, String(index))}`,
          `--store=postgres://${user}@:${port}/${database}?host=${encodeURIComponent(host)}`,
          `--sealing-key-file=${sealingKey}`,
          `--listen=127.0.0.1:${apiPort}`,
          `--node-listen=127.0.0.1:${nodePort}`,
          `--health-listen=127.0.0.1:${healthPort}`,
          `--public-url=https://127.0.0.1:${api.port}`,
          `--node-endpoint=127.0.0.1:${node.port}`,
          `--trust-domain=${trustDomain}`,
          `--exchange-ca=${ca}`,
          '--admin-context=test',
        ]
        const env = { ...process.env, TIDEWAY_CONTEXTS: contexts }
        const started = spawn(tideway, args, { env, stdio: ['ignore', log, log] })
        closeSync(log)
        child = started
        while (!(await isReady(healthPort))) {
          assert.equal(started.exitCode ?? started.signalCode, null, server.log().slice(-3000))
          await delay(20)
        }
      },
      async kill() {
        if (!child || child.exitCode !== null || child.signalCode !== null) return
        const exited = once(child, 'exit')
        child.kill('SIGKILL')
        await exited
      },
    }
    opening.defer(() => server.kill())
    return server
  }
  for (let index = 0; index < count; index++) prepare(path.join(folder, String(index)), index)
  const servers = Array.from({ length: count }, (_, index) => openServer(index))
  await Promise.all(servers.map((server) => server.start()))
  const owned = opening.move()
  return {
    servers,
    url: `https://127.0.0.1:${api.port}`,
    urlOf: (index) => `https://127.0.0.1:${portsOf(index)[0]}`,
    context: loadContexts(contexts).contexts[0]!,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}
