// The README's troubleshooting table: each symptom is brought about, and its words are what a user then reads.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { connect } from 'node:tls'
import { emptyScope } from '#model/scope'
import {
  host,
  listenTls,
  openAuthority,
  openBed,
  scopeOf,
  serverIdentity,
} from '../src/daemon/outbound/fixture.ts'
import { answering, openClient, request, response } from '../src/daemon/outbound/talk.ts'
import { openTestEmulator } from '../src/emulator/program/test-emulator.ts'
import { stsError, type StsMode } from '../src/server/program/fake-sts.ts'
import {
  guideResources,
  namespacePath,
  openFakeDaemon,
  openTestBed,
  type TestServer,
} from '../src/server/program/fixture.ts'

const repository = path.resolve(import.meta.dirname, '..')
const daemonId = 'riptides/daemon/one'

/** Symptoms of the table, as its first column has them. */
function readSymptoms(): readonly string[] {
  const readme = readFileSync(path.join(repository, 'README.md'), 'utf8')
  const [, section = ''] = /^## Troubleshooting\n([^]*?)^## /m.exec(readme) ?? []
  return [...section.matchAll(/^\| +(.*?) +\|/gm)]
    .map(([, symptom]) => symptom!)
    .slice(1)
    .filter((cell) => !/^-+$/.test(cell))
}

/** State and message of an object once its message matches. */
async function says(server: TestServer, plural: string, name: string, pattern: RegExp): Promise<string> {
  const { status } = await server.until(plural, name, ({ status }) => pattern.test(status?.message ?? ''))
  return `${status?.state}: ${status?.message}`
}

/** What a source of the guide says when the cloud answers like this. */
async function refusedBy(t: TestContext, mode: StsMode): Promise<string> {
  const bed = await openTestBed(t)
  const server = await bed.start()
  bed.sts.mode = mode
  await server.apply(guideResources(bed.sts, daemonId))
  return await says(server, 'credentialsources', 'aws', /^exchange for/)
}

/** What a source says when its issuer is to be found at `issuerUrl`, whose certificate is of `caPem`. */
async function withIssuerAt(t: TestContext, issuerUrl: string, caPem?: string): Promise<string> {
  const bed = await openTestBed(t)
  const folder = mkdtempSync(path.join(tmpdir(), 'tideway-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const exchangeCa = path.join(folder, 'ca.pem')
  writeFileSync(exchangeCa, `${caPem ?? ''}${bed.sts.caPem}`)
  const server = await bed.start({ issuerUrl, exchangeCa })
  const { credentialsources } = guideResources(bed.sts, daemonId)
  await server.apply({ credentialsources })
  return await says(server, 'credentialsources', 'aws', /issuer|lacks/)
}

/** Brings the symptom about and gives what the user reads. */
type Reproduction = (t: TestContext) => Promise<string>

const reproductions: Readonly<Record<string, Reproduction>> = {
  'discovery document cannot be fetched': (t) => withIssuerAt(t, 'https://127.0.0.1:1/oidc'),

  async 'lacks the key'(t) {
    const authority = openAuthority('bucket')
    const bucket = createServer(serverIdentity('127.0.0.1', { authority }), ({ url }, answer) => {
      const documents = { issuer, jwks_uri: `${issuer}/jwks` }
      answer.end(JSON.stringify(url === '/jwks' ? { keys: [{ kid: 'old' }] } : documents))
    }).listen(0, '127.0.0.1')
    t.after(() => bucket.close())
    await once(bucket, 'listening')
    const issuer = `https://127.0.0.1:${(bucket.address() as AddressInfo).port}`
    return await withIssuerAt(t, issuer, authority.certificate.toString())
  },

  'the cloud cannot fetch the keys': (t) =>
    refusedBy(
      t,
      stsError(400, 'InvalidIdentityToken', "Couldn't retrieve verification key from your identity provider"),
    ),

  'does not allow this workload': (t) =>
    refusedBy(t, stsError(403, 'AccessDenied', 'Not authorized to perform sts:AssumeRoleWithWebIdentity')),

  'does not accept the audience': (t) =>
    refusedBy(t, stsError(400, 'InvalidIdentityToken', 'Incorrect token audience')),

  async 'WorkloadIdentity ... not found'(t) {
    const bed = await openTestBed(t)
    const server = await bed.start()
    const { credentialbindings, ...others } = guideResources(bed.sts, daemonId)
    const binding = { ...credentialbindings.binding, workloadID: 'my-app/other' }
    await server.apply({ ...others, credentialbindings: { binding } })
    return await says(server, 'credentialbindings', 'binding', /not found/)
  },

  async 'applied before'(t) {
    const bed = await openTestBed(t)
    const server = await bed.start()
    const daemon = await openFakeDaemon(server, bed.access!, { workloadId: daemonId })
    t.after(() => daemon.close())
    const { credentialbindings, ...others } = guideResources(bed.sts, daemonId)
    await server.apply({ credentialbindings })
    assert.match(
      await says(server, 'credentialbindings', 'binding', /not found/),
      /^PENDING: .*my-app\/workload/,
    )
    await server.apply(others)
    return await says(server, 'credentialbindings', 'binding', /^in effect/)
  },

  async 'no connected daemon'(t) {
    const bed = await openTestBed(t)
    const server = await bed.start()
    await server.apply(guideResources(bed.sts, daemonId))
    const before = await says(server, 'credentialbindings', 'binding', /no connected daemon/)
    const daemon = await openFakeDaemon(server, bed.access!, { workloadId: daemonId })
    t.after(() => daemon.close())
    await says(server, 'credentialbindings', 'binding', /^in effect/)
    return before
  },

  async 'demands capture level'(t) {
    const bed = await openTestBed(t)
    const server = await bed.start()
    const daemon = await openFakeDaemon(server, bed.access!, { workloadId: daemonId, captureLevel: 'user' })
    t.after(() => daemon.close())
    await server.apply(guideResources(bed.sts, daemonId))
    return await says(server, 'credentialbindings', 'binding', /capture level/)
  },

  async 'Missing Authentication Token'() {
    await using emulator = await openTestEmulator()
    const { port, caFile } = emulator.ready
    const caPem = readFileSync(caFile, 'utf8')
    await using bed = openBed()
    bed.plane.apply(scopeOf(port, { service: { addresses: [{ host, port }] } }))
    const captured = await bed.listen({ address: '127.0.0.1', port })
    // The Service names us-east-1; the workload calls another region.
    const elsewhere = 'bedrock-runtime.eu-west-1.amazonaws.com'
    const socket = connect({ host: '127.0.0.1', port: captured.port, servername: elsewhere, ca: caPem })
    socket.setEncoding('utf8')
    socket.end(
      `POST /model/m/invoke HTTP/1.1\r\nHost: ${elsewhere}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
    )
    let text = ''
    for await (const chunk of socket) text += String(chunk)
    assert.match(text, /^HTTP\/1\.1 403/)
    return text
  },

  async 'x-tideway-error'() {
    await using bed = openBed()
    await using upstream = await listenTls(
      serverIdentity(host, { authority: bed.upstreamCa }),
      answering(() => response()),
    )
    bed.plane.apply(scopeOf(upstream.port, { credentials: [] }))
    using client = await openClient(bed, await bed.listen({ address: '127.0.0.1', port: upstream.port }))
    const answer = await client.send(request('GET /'))
    assert.equal(answer?.head.status, 503)
    assert.match(answer.body.toString(), /tideway ctl describe credentialbinding/)
    return answer.head.headers.map(({ name, value }) => `${name}: ${value}`).join('\n')
  },

  async 'certificate error'() {
    await using bed = openBed()
    await using upstream = await listenTls(
      serverIdentity(host, { authority: bed.upstreamCa }),
      answering(() => response()),
    )
    bed.plane.apply(scopeOf(upstream.port))
    const captured = await bed.listen({ address: '127.0.0.1', port: upstream.port })
    const socket = connect({ host: '127.0.0.1', port: captured.port, servername: host })
    const [error] = (await once(socket, 'error')) as [Error]
    return error.message
  },

  async 'the connection is cut'() {
    await using bed = openBed()
    await using upstream = await listenTls(
      serverIdentity(host, { authority: bed.upstreamCa }),
      answering(() => response()),
    )
    bed.plane.apply(scopeOf(upstream.port))
    using client = await openClient(bed, await bed.listen({ address: '127.0.0.1', port: upstream.port }))
    await client.send(request('GET /'))
    bed.plane.apply(emptyScope)
    await client.ended()
    return ''
  },

  async 'the daemon does not answer at'(t) {
    const folder = mkdtempSync(path.join(tmpdir(), 'tideway-'))
    t.after(() => rmSync(folder, { recursive: true }))
    const { status, stderr } = spawnSync(
      path.join(repository, 'bin/tideway'),
      ['attest', String(process.pid), '--run-dir', folder],
      { encoding: 'utf8', env: { PATH: process.env['PATH'], HOME: folder } },
    )
    assert.notEqual(status, 0)
    return stderr
  },

  async 'unknown field'(t) {
    const bed = await openTestBed(t)
    const server = await bed.start()
    const { status, body } = await server.call('POST', `${namespacePath}/services`, {
      apiVersion: 'core.riptides.io/v1alpha1',
      kind: 'Service',
      metadata: { name: 'typing-error' },
      spec: { labels: { app: 'x' }, adresses: [] },
    })
    assert.equal(status, 422)
    const { message } = body as { message: string }
    assert.match(message, /spec\.adresses/)
    return message
  },

  async 'there is no sealing key'(t) {
    const bed = await openTestBed(t)
    await (await bed.start()).stop()
    rmSync(path.join(bed.dataDir, 'sealing-key'))
    const error: unknown = await bed.start().catch((reason: unknown) => reason)
    return error instanceof Error ? error.message : 'it started'
  },
}

describe('troubleshooting', () => {
  const symptoms = readSymptoms()

  it('reproduces each row, and each is a row', () => {
    const unclear = symptoms.filter(
      (symptom) => Object.keys(reproductions).filter((key) => symptom.includes(key)).length !== 1,
    )
    assert.deepEqual(unclear, [], 'rows without exactly one reproduction')
    assert.equal(symptoms.length, Object.keys(reproductions).length)
  })

  for (const symptom of symptoms) {
    const reproduce = Object.entries(reproductions).find(([key]) => symptom.includes(key))?.[1]
    it(symptom, async (t) => {
      assert.ok(reproduce)
      const seen = await reproduce(t)
      const [, state] = /\b(PENDING|FAILED)\b/.exec(symptom) ?? []
      if (state) assert.ok(seen.startsWith(`${state}: `), seen)
      for (const [, quoted] of symptom.matchAll(/`([^`]+)`/g)) {
        if (quoted === 'ctl apply') continue
        for (const part of quoted!.split(' ... '))
          assert.ok(seen.includes(part), `${part} is not in: ${seen}`)
      }
    })
  }
})
