import assert from 'node:assert/strict'
import { createPrivateKey, createSecretKey } from 'node:crypto'
import { once } from 'node:events'
import { cpSync, readFileSync, statSync } from 'node:fs'
import { createServer, request } from 'node:https'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { text as readAll } from 'node:stream/consumers'
import { after, before, describe, it } from 'node:test'
import { loadContexts } from '#cli/context'
import { cloudAddress } from '#cli/dev'
import { openCustody } from '#server/keys'
import { openSqliteStore } from '#server/store'
import { agentHost, agentPath, binding, identity, service, source } from './resources.ts'
import { filesBelow, findSecrets, processesBelow, type Sought } from './secrets.ts'
import type { Workload } from './workload.ts'
import { openWorld, python, uids, until, type World } from './world.ts'

const stsHost = 'sts.us-east-1.amazonaws.com'

/** Stands between the server and the cloud's STS and keeps what passes: the tokens that no file should hold. */
async function openTap({
  authority,
}: World): Promise<{ url: string; text: () => string; close: () => void }> {
  const passed: string[] = []
  const server = createServer(authority.leafFor('127.0.0.1'), (incoming, outgoing) => {
    void (async () => {
      const body = await readAll(incoming)
      passed.push(decodeURIComponent(body))
      const { method, url: path } = incoming
      const headers = { ...incoming.headers, host: stsHost }
      const onward = request({
        host: cloudAddress,
        servername: stsHost,
        rejectUnauthorized: false,
        method,
        path,
        headers,
      })
      onward.end(body)
      const [answer] = await once(onward, 'response')
      const text = await readAll(answer)
      passed.push(text)
      outgoing.writeHead(answer.statusCode, { 'content-type': answer.headers['content-type'] }).end(text)
    })()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return { url: `https://127.0.0.1:${port}`, text: () => passed.join('\n'), close: () => void server.close() }
}

/** Everything that the control plane keeps sealed, and the key that seals it. */
async function sealedSecrets(world: World): Promise<Sought[]> {
  const { serverData, base } = world.layout
  const file = path.join(serverData, 'sealing-key')
  const bytes = Buffer.from(readFileSync(file, 'utf8'), 'base64')
  const copy = path.join(base, 'copy')
  cpSync(serverData, copy, { recursive: true, filter: (from) => from !== file })
  await using store = await openSqliteStore({ path: path.join(copy, 'tideway.db') })
  const custody = await openCustody(store, createSecretKey(bytes))
  const found: Sought[] = [{ name: 'the sealing key', bytes, allowedIn: file }]
  for (const { key } of (await store.list('/custody/')).entries) {
    const name = key.slice('/custody/'.length)
    found.push({
      name: `what is sealed as ${name}`,
      bytes: Buffer.from((await custody.load(name))!.reveal()),
    })
  }
  return found
}

/** Design invariant 5. */
describe('after everything has happened that involves a secret', () => {
  let world: World
  let workload: Workload
  let tap: Awaited<ReturnType<typeof openTap>>
  let secrets: Sought[]

  before(async () => {
    world = await openWorld()
    tap = await openTap(world)
    await world.createRole('agents', 'agent')
    await world.apply(
      identity('agent', { 'process:uid': uids.identified, 'process:binary:path': python }),
      service('runtime', agentHost),
      source('agents', tap.url),
      binding('agent', { from: 'agents', to: 'runtime' }),
    )
    await world.untilBound('agent')
    workload = await world.startWorkload({ uid: uids.identified })
    const ask = async (name: string) => (await workload.ask(agentHost, agentPath(name, 0))).status === 200
    assert.ok(await ask('before'))
    assert.equal((await world.cli(['ctl', 'rotate', 'credentialbinding/agent'])).code, 0)
    assert.equal((await world.cli(['keys', 'rotate'])).code, 0)
    await world.daemon.end('SIGKILL')
    await world.server.end('SIGKILL')
    await world.startServer()
    await world.startDaemon()
    await until('a signed request after all that', () => ask('after'))
    await world.daemon.end('SIGTERM')
    await world.startDaemon()
    await until('a signed request after a restart', () => ask('again'))
    secrets = [...ownSecrets(), ...passedSecrets(), ...(await sealedSecrets(world))]
  })
  after(async () => {
    tap.close()
    await world[Symbol.asyncDispose]()
  })

  const nodeKeyFile = () => path.join(world.layout.daemonState, 'node.key')

  function ownSecrets(): Sought[] {
    const { token } = loadContexts(world.layout.contexts).contexts[0]!
    const { d } = createPrivateKey(readFileSync(nodeKeyFile())).export({ format: 'jwk' })
    return [
      { name: 'the join token', bytes: Buffer.from(world.joinToken) },
      { name: 'the admin token', bytes: Buffer.from(token!), allowedIn: world.layout.contexts },
      { name: 'the node key', bytes: Buffer.from(d!, 'base64url'), allowedIn: nodeKeyFile() },
    ]
  }
  function passedSecrets(): Sought[] {
    const passed = tap.text()
    const all = (name: string, pattern: RegExp) =>
      [...passed.matchAll(pattern)].map(([, found]) => ({ name, bytes: Buffer.from(found!) }))
    const found = [
      all('a federation token', /WebIdentityToken=([\w-]+\.[\w-]+\.[\w-]+)/g),
      all('the signature of a federation token', /WebIdentityToken=[\w-]+\.[\w-]+\.([\w-]+)/g),
      all('a secret access key', /<SecretAccessKey>([^<]+)</g),
      all('a session token', /<SessionToken>([^<]+)</g),
    ]
    for (const kind of found) assert.ok(kind.length >= 2, 'one of each exchange')
    return found.flat()
  }

  it('was found by the search where it may be', () => {
    const allowed = secrets.filter(({ allowedIn }) => allowedIn !== undefined)
    assert.equal(allowed.length, 3)
    for (const { name, bytes, allowedIn } of allowed) {
      const found = findSecrets([{ name, bytes }], [[allowedIn!, readFileSync(allowedIn!)]])
      assert.deepEqual(found, [`${name} in ${allowedIn}`])
      assert.equal(statSync(allowedIn!).mode & 0o777, 0o600)
    }
    assert.ok(secrets.length > 10)
  })

  it('no file holds a secret in the clear: database, journals, audit, logs, state', () => {
    assert.deepEqual(findSecrets(secrets, filesBelow(world.place.base)), [])
  })
  it('no process shows one in its arguments or environment', () => {
    const pids = processesBelow(world.place.host)
    assert.ok(pids.length >= 6, 'emulator, server, daemon, workers, attestor, workload')
    const shown = pids.flatMap((pid) =>
      ['cmdline', 'environ'].map((name): [string, Buffer] => {
        const file = `/proc/${pid}/${name}`
        return [file, readFileSync(file)]
      }),
    )
    assert.deepEqual(findSecrets(secrets, shown), [])
  })

  it('no answer shows one: resources, audit, metrics, status', async () => {
    const commands = [
      ['ctl', 'get', 'all', '-o', 'yaml'],
      ['ctl', 'get', 'jointokens,verifiers,secrets,daemons', '-o', 'json'],
      ['ctl', 'describe', 'credentialbinding', 'agent'],
      ['audit', '--limit', '1000', '-o', 'json'],
      ['keys', 'list'],
      ['capture', 'status', `--run-dir=${world.layout.run}`],
      ['attest', `--run-dir=${world.layout.run}`, String(workload.pid)],
    ]
    for (const args of commands) {
      const { code, stdout, stderr } = await world.cli(args)
      const command = args.join(' ')
      assert.equal(code, 0, `${command}: ${stderr}`)
      assert.ok(stdout.length > 20)
      assert.deepEqual(findSecrets(secrets, [[command, Buffer.from(stdout + stderr)]]), [])
    }
    const metrics = await fetch(`http://${world.layout.health}/metrics`)
    assert.deepEqual(findSecrets(secrets, [['metrics', Buffer.from(await metrics.text())]]), [])
  })

  it('the processes that hold them cannot be looked into by others of their user', () => {
    for (const pid of [world.daemon.pid, ...world.daemonChildren().workers]) {
      assert.match(readFileSync(`/proc/${pid}/status`, 'utf8'), new RegExp(`^Uid:\\t${uids.daemon}\\t`, 'm'))
      assert.equal(statSync(`/proc/${pid}/mem`).uid, 0, 'it is not dumpable')
      assert.match(readFileSync(`/proc/${pid}/limits`, 'utf8'), /^Max core file size +0 /m)
    }
  })
})
