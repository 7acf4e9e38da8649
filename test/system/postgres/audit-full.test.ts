// Servers on one database, each with a disk of its own for its audit trail, of which one is full.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statfsSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Secret } from '#base/secret'
import { unshare } from '#base/syscall'
import { openFakeSts } from '../../../src/server/program/fake-sts.ts'
import { guideResources, namespacePath, openServerClient } from '../../../src/server/program/fixture.ts'
import { openCluster } from './cluster.ts'
import { openServers } from './servers.ts'

test('the lead goes to a server that can write its audit trail', async () => {
  // A mount namespace of this thread's own, and of what it starts: the mounts go with the process.
  unshare('mount')
  execFileSync('mount', ['--make-rprivate', '/'])
  await using stack = new AsyncDisposableStack()
  const cluster = stack.use(await openCluster())
  const sts = stack.use(await openFakeSts())
  const target = await cluster.createDatabase()
  const folder = mkdtempSync(path.join(tmpdir(), 'tideway-audits-'))
  const diskOf = (index: number) => path.join(folder, String(index))
  stack.defer(() => rmSync(folder, { recursive: true }))
  for (const index of [0, 1]) {
    mkdirSync(diskOf(index))
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m,mode=0700', 'tideway-test', diskOf(index)])
    stack.defer(() => void execFileSync('umount', ['--lazy', diskOf(index)]))
  }
  const prepare = (dataDir: string, index: number) => {
    mkdirSync(dataDir, { mode: 0o700 })
    symlinkSync(diskOf(index), path.join(dataDir, 'audit'))
  }
  const servers = stack.use(await openServers(target, { count: 2, exchangeCa: sts.caPem, prepare }))
  sts.issuer = { url: `${servers.url}/oidc`, caPem: servers.context.caPem! }
  const access = { token: Secret.of(servers.context.token!), caPem: servers.context.caPem! }
  const clients = [0, 1].map((index) =>
    openServerClient({ url: servers.urlOf(index) }, access, async () => {}),
  )

  async function leader(): Promise<number> {
    for (;;) {
      const statement = `SELECT convert_from(value, 'UTF8') AS id FROM tideway_entries WHERE key = '/run/leader'`
      const [row] = await cluster.query(target.database, statement)
      const id = row?.['id'] as string | undefined
      const found = servers.servers.findIndex(
        (server) => id !== undefined && server.log().includes(`"server":"${id}"`),
      )
      if (found >= 0) return found
      await delay(50)
    }
  }
  const first = await leader()
  const other = 1 - first
  const { bavail, bsize } = statfsSync(diskOf(first))
  const ballast = path.join(diskOf(first), 'ballast')
  writeFileSync(ballast, Buffer.alloc(bavail * bsize))
  // The page of the last record may have room for some more.
  for (let status = 0, count = 0; status < 500; count++) {
    const metadata = { name: `secret-${count}` }
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata }
    const answer = await clients[first]!.call('POST', '/api/v1/namespaces/riptides-system/secrets', secret)
    status = answer.status
    assert.ok(status === 201 || status === 503, JSON.stringify(answer.body))
  }
  const since = performance.now()
  while ((await leader()) === first) assert.ok(performance.now() - since < 20_000, 'it leads still')
  // Whatever only one that leads does is done.
  await clients[other]!.apply(guideResources(sts, 'riptides/daemon/one'))
  await clients[other]!.until(
    'credentialbindings',
    'binding',
    ({ status }) => status?.credential !== undefined,
  )
  // Where none can, one leads: and where there is room again it does all of that.
  await servers.servers[other]!.kill()
  while ((await leader()) !== first) assert.ok(performance.now() - since < 40_000, 'nobody leads')
  const rotate = () => clients[first]!.call('POST', `${namespacePath}/credentialbindings/binding/rotate`, {})
  rmSync(ballast)
  while ((await rotate()).status !== 200) assert.ok(performance.now() - since < 40_000, 'it does not recover')
})
