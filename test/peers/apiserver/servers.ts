// The two that are compared. Neither has controllers beside it, so that nothing changes but by what is asked.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { generateKeyPairSync, randomUUID } from 'node:crypto'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from '../../../src/cli/dev/free-port.ts'
import { openTestServer } from '../../../src/server/api/test-server.ts'
import { until } from '../../system/stack/world.ts'
import type { KubernetesPrograms } from '../programs.ts'
import { customResourceDefinitions } from './crds.ts'
import { send, type Address, type Answer, type Message } from './http.ts'

export interface Server extends AsyncDisposable {
  readonly token: string
  send(message: Message): Promise<Answer>
  /** Lets so much time go by, as the server sees it. */
  passTime(ms: number): Promise<void>
  /** Keeps nothing of what there was before. */
  forget(): Promise<void>
}

const host = '127.0.0.1'

/** In which ours, whose clock stands still, surely says all that it has to say. */
const answeringMs = 300

/** Starts a program that writes what it says into a file, and ends it at last. */
function start(stack: AsyncDisposableStack, folder: string, [file, ...args]: readonly string[]) {
  const log = path.join(folder, `${path.basename(file!)}.log`)
  const output = openSync(log, 'a', 0o600)
  const child = spawn(file!, args, { stdio: ['ignore', output, output] })
  closeSync(output)
  const exited = once(child, 'exit')
  stack.defer(async () => {
    child.kill('SIGKILL')
    await exited
  })
  return () => {
    if (child.exitCode !== null)
      throw new Error(`${file} has ended:\n${readFileSync(log, 'utf8').slice(-3000)}`)
  }
}

/** kube-apiserver with our kinds as custom resources. */
export async function openKubernetes({ apiserver, etcd }: KubernetesPrograms): Promise<Server> {
  await using stack = new AsyncDisposableStack()
  const folder = mkdtempSync(path.join(tmpdir(), 'tideway-apiserver-'))
  stack.defer(() => rmSync(folder, { recursive: true, force: true }))
  const [clients, peers, port] = await Promise.all([freePort(host), freePort(host), freePort(host)])
  start(stack, folder, [
    etcd,
    `--data-dir=${folder}/etcd`,
    `--listen-client-urls=http://${host}:${clients}`,
    `--advertise-client-urls=http://${host}:${clients}`,
    `--listen-peer-urls=http://${host}:${peers}`,
    `--initial-advertise-peer-urls=http://${host}:${peers}`,
    `--initial-cluster=default=http://${host}:${peers}`,
    '--unsafe-no-fsync',
  ])
  const token = randomUUID()
  const tokens = path.join(folder, 'tokens.csv')
  writeFileSync(tokens, `${token},system:admin,admin,system:masters\n`, { mode: 0o600 })
  const key = path.join(folder, 'accounts.pem')
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  writeFileSync(key, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
  const expectAlive = start(stack, folder, [
    apiserver,
    `--etcd-servers=http://${host}:${clients}`,
    `--bind-address=${host}`,
    `--advertise-address=${host}`,
    `--secure-port=${port}`,
    `--cert-dir=${folder}/certificates`,
    `--token-auth-file=${tokens}`,
    '--authorization-mode=RBAC',
    '--service-account-issuer=https://kubernetes.invalid',
    `--service-account-key-file=${key}`,
    `--service-account-signing-key-file=${key}`,
    '--service-cluster-ip-range=10.0.0.0/24',
    '--disable-admission-plugins=ServiceAccount',
    '--endpoint-reconciler-type=none',
    // So that what etcd has forgotten is forgotten.
    '--feature-gates=ListFromCacheSnapshot=false',
  ])
  const certificate = path.join(folder, 'certificates', 'apiserver.crt')
  await until('kube-apiserver has a certificate', () => {
    expectAlive()
    return existsSync(certificate)
  })
  const address: Address = { url: `https://${host}:${port}`, caPem: readFileSync(certificate, 'utf8') }
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const succeeds = async (message: Omit<Message, 'headers'>) => {
    expectAlive()
    const wanted = message.method === 'POST' ? 201 : 200
    return send(address, { ...message, headers }).then(
      ({ status }) => status === wanted,
      () => false,
    )
  }
  const isReady = () => succeeds({ method: 'GET', path: '/readyz' })
  await until('kube-apiserver is ready', isReady, 120)
  for (const definition of customResourceDefinitions) {
    const { group, names, versions } = definition.spec
    const body = JSON.stringify(definition)
    const posted = await send(address, {
      method: 'POST',
      path: '/apis/apiextensions.k8s.io/v1/customresourcedefinitions',
      headers,
      body,
    })
    if (posted.status !== 201) throw new Error(`${definition.metadata.name} is refused: ${posted.text}`)
    const kept = `/apis/${group}/${versions[0]!.name}/${names.plural}`
    await until(`${kept} is served`, () => succeeds({ method: 'GET', path: kept }), 60)
  }
  const owned = stack.move()
  return {
    token,
    send: (message) => send(address, message),
    passTime: (ms) => delay(ms),
    async forget() {
      const ask = async (path: string, body: object) => {
        const answer = await fetch(`http://${host}:${clients}/v3/kv/${path}`, {
          method: 'POST',
          body: JSON.stringify(body),
        })
        return (await answer.json()) as { header: { revision: string } }
      }
      const { header } = await ask('range', { key: 'AA==' })
      await ask('compaction', { revision: header.revision })
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

export async function makeNamespace(server: Server, name: string): Promise<void> {
  const { status } = await server.send({
    method: 'POST',
    path: '/api/v1/namespaces',
    headers: { authorization: `Bearer ${server.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } }),
  })
  if (status !== 201) throw new Error(`no namespace ${name}: ${status}`)
}

/** Our API with its store. */
export async function openTideway(): Promise<Server> {
  const server = await openTestServer({ kind: 'sqlite' })
  const { url, ca: caPem, token, clock, store } = server
  return {
    token,
    send: (message) => send({ url, caPem }, message),
    async passTime(ms) {
      await delay(answeringMs)
      await clock.advance(ms)
    },
    async forget() {
      const value = Buffer.from('x')
      const write = () => store.transaction([], [{ type: 'put', key: '/forgotten', value }])
      for (let round = 0; round < 21; round++) await Promise.all(Array.from({ length: 1000 }, write))
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}
