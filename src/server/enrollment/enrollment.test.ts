import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import { Code, ConnectError } from '@connectrpc/connect'
import { createCertificateRequest, parseCertificate, spiffeIdOf } from '#model/pki'
import { authGroup, defaultNamespace, type Verifier } from '#model/resource'
import { makeKey, openTestServer } from './fixture.ts'

const token = 'a-join-token-of-some-length'
const refusedWith = (code: Code) => (error: unknown) => {
  assert.ok(error instanceof ConnectError)
  assert.equal(error.code, code, error.message)
  return true
}
const refused = refusedWith(Code.Unauthenticated)
const notAuthorised = refusedWith(Code.PermissionDenied)

type Server = Awaited<ReturnType<typeof openTestServer>>
const daemons = async ({ resources }: Server) => (await resources.list('Daemon')).items
const tokens = async ({ resources }: Server) => (await resources.list('JoinToken')).items
const createVerifier = ({ resources }: Server, name: string, spec: Verifier['spec']) =>
  resources.create<'Verifier'>({
    apiVersion: `${authGroup}/v1alpha1`,
    kind: 'Verifier',
    metadata: { name, namespace: defaultNamespace },
    spec,
  })

describe('joining', () => {
  it('turns a token into a Daemon and an SVID for its key', async () => {
    await using server = await openTestServer()
    await server.createToken(token, { workloadID: 'riptides/daemon/web-1', daemonGroups: ['g/one'] })
    const key = makeKey()
    const response = await server.join(token, key)
    assert.equal(response.spiffeId, 'spiffe://example.org/riptides/daemon/web-1')
    assert.equal(response.daemonName, 'web-1')
    assert.equal(response.serverSpiffeId, 'spiffe://example.org/tideway/server')
    assert.equal(response.nodeEndpoint, server.node.nodeEndpoint)
    const leaf = parseCertificate(response.chainDer[0]!)
    assert.equal(spiffeIdOf(leaf), response.spiffeId)
    assert.ok(leaf.checkPrivateKey(key))
    assert.ok(leaf.verify(parseCertificate(response.bundleDer[0]!).publicKey))
    const [daemon] = await daemons(server)
    assert.deepEqual(daemon?.spec, {
      workloadID: 'riptides/daemon/web-1',
      claimerType: 'JoinToken',
      daemonGroups: ['g/one'],
    })
    assert.deepEqual(daemon?.status?.metadata, [{ name: 'node:hostname', value: 'host-1' }])
    assert.equal(daemon?.status?.version, '0.1.0')
    assert.deepEqual(await tokens(server), [])
    assert.deepEqual(server.changes, [
      { actor: response.spiffeId, verb: 'join', object: 'daemon/web-1', outcome: 'ok' },
    ])
  })

  it('makes an ID where the token names none, and never takes one from the daemon', async () => {
    await using server = await openTestServer()
    const { response } = await server.joined()
    assert.match(response.spiffeId, /^spiffe:\/\/example\.org\/riptides\/daemon\/[0-9a-f-]{36}$/)
    assert.ok(response.spiffeId.endsWith(response.daemonName))
  })

  it('lets exactly one of fifty win who come with the same token at once', async () => {
    await using server = await openTestServer()
    await server.createToken(token)
    const outcomes = await Promise.allSettled(Array.from({ length: 50 }, () => server.join(token)))
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1)
    assert.equal((await daemons(server)).length, 1)
  })

  it('is not put off by the status that a controller writes to the token meanwhile', async () => {
    await using server = await openTestServer()
    const { resources } = server
    const { metadata } = await server.createToken(token)
    const remove = resources.delete.bind(resources)
    let writes = 2
    Object.assign(resources, {
      delete: async (...args: Parameters<typeof remove>) => {
        if (writes-- > 0) {
          const message = `written ${writes}`
          await resources.updateStatus('JoinToken', metadata.namespace, metadata.name, { message })
        }
        return await remove(...args)
      },
    })
    await server.join(token)
    assert.equal(writes, -1)
    assert.equal((await daemons(server)).length, 1)
  })

  it('lets exactly one win of many tokens for the same ID', async () => {
    await using server = await openTestServer()
    const names = Array.from({ length: 8 }, (_, index) => `${token}-${index}`)
    for (const name of names) await server.createToken(name, { workloadID: 'riptides/daemon/web-1' })
    const outcomes = await Promise.allSettled(names.map((name) => server.join(name)))
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1)
    assert.equal((await daemons(server)).length, 1)
  })

  it('refuses unknown, used and expired tokens in the same words', async () => {
    await using server = await openTestServer()
    await server.createToken(token)
    await server.join(token)
    await server.createToken(`${token}-2`, { expireAt: new Date(server.clock.now() + 1000).toISOString() })
    await server.clock.advance(1000)
    for (const text of [token, `${token}-2`, 'never-was-a-token', '']) {
      await assert.rejects(server.join(text), (error) => {
        refused(error)
        return (error as ConnectError).rawMessage === 'the join token was refused'
      })
    }
    assert.equal((await daemons(server)).length, 1)
  })

  it('does not spend the token on a request that cannot succeed', async () => {
    await using server = await openTestServer()
    await server.createToken(token)
    const csrDer = createCertificateRequest(makeKey())
    csrDer[csrDer.length - 1]! ^= 1
    await assert.rejects(
      server.enrollment.join({ token, csrDer, hostname: '', version: '' }),
      refusedWith(Code.InvalidArgument),
    )
    assert.equal((await tokens(server)).length, 1)
    await server.join(token)
  })

  it('does not give away the ID of a daemon that lives, nor that of the server', async () => {
    await using server = await openTestServer()
    const workloadID = 'riptides/daemon/web-1'
    const { name } = await server.joined({ workloadID })
    await server.createToken(token, { workloadID })
    await assert.rejects(server.join(token), refused)
    await server.resources.delete('Daemon', defaultNamespace, name)
    await server.join(token)
    await server.createToken(`${token}-2`, { workloadID: 'tideway/server' })
    await assert.rejects(server.join(`${token}-2`), refused)
  })

  it('does not take the ID of a workload', async () => {
    await using server = await openTestServer()
    const workloadID = 'app/payments'
    await server.resources.create<'WorkloadIdentity'>({
      apiVersion: 'core.riptides.io/v1alpha1',
      kind: 'WorkloadIdentity',
      metadata: { name: 'payments', namespace: defaultNamespace },
      spec: { workloadID, selectors: [{ 'process:uid': '1000' }], scope: { daemon: { id: 'd/1' } } },
    })
    await server.createToken(token, { workloadID })
    await assert.rejects(server.join(token), refused)
    assert.equal((await tokens(server)).length, 1)
  })

  it('needs a Verifier with joinToken once there are Verifiers, and takes its groups', async () => {
    await using server = await openTestServer()
    await server.createToken(token, { daemonGroups: ['g/token'] })
    await createVerifier(server, 'ec2', { AWSIID: {} })
    await createVerifier(server, 'strict', {
      joinToken: {},
      requiredMetadata: [{ 'node:hostname': 'host-1' }],
      daemonGroups: ['g/strict'],
    })
    await assert.rejects(server.join(token), refused)
    await createVerifier(server, 'tokens', { joinToken: {}, daemonGroups: ['g/verifier'] })
    await server.join(token)
    assert.deepEqual((await daemons(server))[0]?.spec.daemonGroups, ['g/token', 'g/verifier'])
  })

  it('slows down who guesses, not who joins', async () => {
    await using server = await openTestServer()
    for (let i = 0; i < 25; i++) {
      await server.createToken(`${token}-${i}`)
      await server.join(`${token}-${i}`)
    }
    const codes = new Set<Code>()
    for (let i = 0; i < 25; i++) {
      const guess = server.join(randomBytes(16).toString('hex'))
      codes.add(
        await guess.then(
          () => assert.fail(),
          (error: ConnectError) => error.code,
        ),
      )
    }
    assert.deepEqual([...codes], [Code.Unauthenticated, Code.ResourceExhausted])
  })

  it('leaves no token in the store or in what the API shows', async () => {
    await using server = await openTestServer()
    await server.createToken(token)
    const { entries } = await server.store.list('')
    assert.ok(!Buffer.concat(entries.map(({ value }) => value)).includes(token))
    assert.ok(!JSON.stringify(await tokens(server)).includes(token))
  })

  it('refuses a message that is too large', async () => {
    await using server = await openTestServer()
    await assert.rejects(server.join('x'.repeat(100_000)), refusedWith(Code.ResourceExhausted))
  })
})

describe('recovering', () => {
  it('gives a new SVID to who proves the node key', async () => {
    await using server = await openTestServer()
    const { key, response } = await server.joined()
    await server.clock.advance(2 * 3_600_000)
    const recovered = await server.recover(response.spiffeId, key)
    const [leaf] = recovered.chainDer.map(parseCertificate)
    assert.ok(leaf!.checkPrivateKey(key))
    assert.ok(leaf!.validToDate.getTime() > server.clock.now())
    assert.deepEqual(recovered.interceptRootDer, response.interceptRootDer)
  })

  it('refuses another key, a wrong proof, a stale one, and an ID that is not a daemon', async () => {
    await using server = await openTestServer()
    const { key, response } = await server.joined()
    const { spiffeId } = response
    await assert.rejects(server.recover(spiffeId, makeKey()), notAuthorised)
    await assert.rejects(server.recover(spiffeId, key, { signer: makeKey() }), notAuthorised)
    await assert.rejects(server.recover(spiffeId, key, { at: server.clock.now() - 300_001 }), notAuthorised)
    await assert.rejects(server.recover('spiffe://example.org/no/daemon', key), notAuthorised)
    await assert.rejects(server.recover('spiffe://elsewhere.org/a', key), notAuthorised)
  })

  it('is over when the Daemon is deleted, also after the ID was claimed by another', async () => {
    await using server = await openTestServer()
    const workloadID = 'riptides/daemon/web-1'
    const { key, response, name } = await server.joined({ workloadID })
    await server.resources.delete('Daemon', defaultNamespace, name)
    await assert.rejects(server.recover(response.spiffeId, key), notAuthorised)
    await server.joined({ workloadID })
    await assert.rejects(server.recover(response.spiffeId, key), notAuthorised)
  })
})
