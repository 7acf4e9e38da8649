import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Secret } from '#base/secret'
import type { Scope } from '#model/scope'
import {
  namespacePath,
  openFakeDaemon,
  openServerClient,
  type FakeDaemon,
} from '../../../src/server/program/fixture.ts'
import { openFakeSts, type FakeSts } from '../../../src/server/program/fake-sts.ts'
import { openCluster, type Cluster } from './cluster.ts'
import { openServers, type Servers } from './servers.ts'

const group = 'riptides/daemongroup/workers'
// What is promised of a machine that keeps up; a slower one is given as much more as it takes for the same without
// trouble, measured in the same run.
const lateAfterMs = 5_000
const revokedWithinMs = 1_000
const slack = 5

type Client = ReturnType<typeof openServerClient>
interface Status {
  status?: {
    state?: string
    message?: string
    credential?: { id: string }
    daemons?: { name: string; state: string }[]
  }
}

describe('three servers on one database', () => {
  const stack = new AsyncDisposableStack()
  let cluster: Cluster
  let sts: FakeSts
  let servers: Servers
  let daemons: FakeDaemon[]
  let client: Client
  let database: string

  const clientOf = (url: string): Client =>
    openServerClient(
      { url },
      { token: Secret.of(servers.context.token!), caPem: servers.context.caPem! },
      async () => {},
    )

  /** Until it succeeds: a connection to a server that was killed breaks, and is made anew by its client. */
  async function patiently<T>(work: () => Promise<T>): Promise<T> {
    for (const start = performance.now(); ;) {
      try {
        return await work()
      } catch (error) {
        if (performance.now() - start > 30_000) throw error
        await delay(20)
      }
    }
  }

  async function call(method: string, path: string, body?: unknown, through = client) {
    return await patiently(async () => {
      const answer = await through.call(method, `${namespacePath}/${path}`, body)
      if (answer.status >= 500) throw new Error(JSON.stringify(answer.body))
      return answer
    })
  }

  const create = (plural: string, kind: string, name: string, spec: object) =>
    call('POST', plural, { apiVersion: 'core.riptides.io/v1alpha1', kind, metadata: { name }, spec })

  const bind = (name: string, app: string) =>
    create('credentialbindings', 'CredentialBinding', name, {
      workloadID: 'my-app/workload',
      credentialSource: 'aws',
      propagation: { injection: { selectors: [{ app }] } },
    })

  /** Milliseconds until `probe` holds. */
  async function took(what: string, probe: () => boolean | Promise<boolean>): Promise<number> {
    const start = performance.now()
    while (!(await probe())) {
      assert.ok(performance.now() - start < 60_000, `still not so after a minute: ${what}`)
      await delay(10)
    }
    return performance.now() - start
  }

  async function statusOf(
    name: string,
    plural = 'credentialbindings',
  ): Promise<NonNullable<Status['status']>> {
    return ((await call('GET', `${plural}/${name}`)).body as Status).status ?? {}
  }
  async function isInEffect(name: string): Promise<boolean> {
    const { state, daemons: shown = [] } = await statusOf(name)
    return state === 'OK' && shown.filter((daemon) => daemon.state === 'OK').length === daemons.length
  }
  const everyScope = (test: (scope: Scope) => boolean) => daemons.every((daemon) => test(daemon.scope()))

  async function leader(): Promise<number> {
    for (;;) {
      const [row] = await cluster.query(
        database,
        `SELECT convert_from(value, 'UTF8') AS id FROM tideway_entries WHERE key = '/run/leader'`,
      )
      const id = row?.['id'] as string | undefined
      const found = servers.servers.findIndex(
        (server) => id !== undefined && server.log().includes(`"server":"${id}"`),
      )
      if (found >= 0) return found
      await delay(50)
    }
  }

  before(async () => {
    cluster = stack.use(await openCluster())
    sts = stack.use(await openFakeSts())
    const target = await cluster.createDatabase()
    database = target.database
    servers = stack.use(await openServers(target, { count: 3, exchangeCa: sts.caPem }))
    sts.issuer = { url: `${servers.url}/oidc`, caPem: servers.context.caPem! }
    client = clientOf(servers.url)
    daemons = []
    for (const name of ['one', 'two', 'three', 'four']) {
      const options = { workloadId: `node/${name}`, daemonGroups: [group], persistent: true }
      const daemon = await openFakeDaemon(client, { caPem: servers.context.caPem! }, options)
      stack.defer(() => daemon.close())
      daemons.push(daemon)
    }
    await create('workloadidentitys', 'WorkloadIdentity', 'workload', {
      workloadID: 'my-app/workload',
      scope: { daemonGroup: { id: group } },
      selectors: [{ 'process:name': 'python3', 'process:uid': 1000 }],
      connection: { tls: { intercept: true } },
    })
    await create('credentialsources', 'CredentialSource', 'aws', {
      aws: { roleArn: 'arn:aws:iam::123456789012:role/my-role', endpoint: sts.url },
    })
    for (const app of ['first', 'second']) {
      await create('services', 'Service', app, {
        labels: { app },
        addresses: [{ address: `${app}.us-east-1.amazonaws.com`, port: 443 }],
        external: true,
      })
    }
    await bind('first', 'first')
    await took('the binding is in effect', () => isInEffect('first'))
  })
  after(() => stack.disposeAsync())

  it('one exchange serves the daemons of all, and each server knows of all', async () => {
    assert.equal(sts.requests.length, 1)
    for (const { index } of servers.servers) {
      const { body } = await call(
        'GET',
        'credentialbindings/first',
        undefined,
        clientOf(servers.urlOf(index)),
      )
      assert.equal((body as Status).status?.state, 'OK')
    }
    assert.ok(everyScope(({ credentials }) => credentials.size === 1))
  })

  it('a revocation is in effect on every daemon within a second, whichever server is told', async (context) => {
    const times: number[] = []
    const usual = await took('the state can be read', async () => (await statusOf('first')).state === 'OK')
    for (const { index } of servers.servers) {
      await bind('second', 'second')
      await took('the second binding is in effect', () => isInEffect('second'))
      await call('DELETE', 'credentialbindings/second', undefined, clientOf(servers.urlOf(index)))
      times.push(await took('no daemon has it', () => everyScope(({ bindings }) => !bindings.has('second'))))
    }
    const numbers = `ms from the answer: ${times.map(Math.round).join(' ')}; a read takes ${Math.round(usual)}`
    context.diagnostic(numbers)
    assert.ok(Math.max(...times) < revokedWithinMs + slack * usual, numbers)
  })

  it('a credential is rotated through any of them', async () => {
    for (const { index } of servers.servers) {
      const { body, status } = await call(
        'POST',
        'credentialbindings/first/rotate',
        {},
        clientOf(servers.urlOf(index)),
      )
      assert.equal(status, 200, JSON.stringify(body))
      const { id } = body as { id: string }
      const has = ({ credentials }: Scope) =>
        [...credentials.values()].some(
          ({ credential }) => credential.kind === 'aws' && credential.accessKeyId === id,
        )
      await took('every daemon has it', () => everyScope(has))
      await took('the state says so', async () => (await statusOf('first')).credential?.id === id)
    }
  })

  for (const victim of [0, 1, 2]) {
    it(`server ${victim} is killed: nothing is lost, doubled or late`, async (context) => {
      const undisturbed = performance.now()
      await bind('second', 'second')
      await took('the second binding is in effect everywhere', () => isInEffect('second'))
      const usual = performance.now() - undisturbed
      await call('DELETE', 'credentialbindings/second')
      await took('no daemon has it', () => everyScope(({ bindings }) => !bindings.has('second')))

      const asked = sts.requests.length
      const leads = await leader()
      await servers.servers[victim]!.kill()
      const killed = performance.now()
      // What was there stays with every daemon, and what is told to the others comes to pass.
      await bind('second', 'second')
      await took('the second binding is in effect everywhere', async () => {
        assert.ok(everyScope(({ bindings, credentials }) => bindings.has('first') && credentials.size === 1))
        return await isInEffect('second')
      })
      const late = performance.now() - killed
      const numbers = `in effect after ${Math.round(late)} ms, undisturbed after ${Math.round(usual)}`
      context.diagnostic(`${leads === victim ? 'the leader' : 'a follower'}; ${numbers}`)
      assert.ok(late < lateAfterMs + slack * usual, numbers)
      assert.equal(sts.requests.length, asked, 'nothing was exchanged again')
      await call('DELETE', 'credentialbindings/second')
      await took('no daemon has it', () => everyScope(({ bindings }) => !bindings.has('second')))
      await servers.servers[victim]!.start()
    })
  }

  it('a daemon that goes with its server is shown as gone', async () => {
    const [lost] = daemons.splice(0, 1)
    // Its connection may be at any: with all killed at once nobody is left to say it at its end.
    for (const server of servers.servers) await server.kill()
    await lost!.close()
    await Promise.all(servers.servers.map((server) => server.start()))
    await took(
      'it is disconnected',
      async () => (await statusOf(lost!.name, 'daemons')).state === 'DISCONNECTED',
    )
    await took('the others are in effect', () => isInEffect('first'))
  })
})
