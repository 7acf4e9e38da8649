import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { loadContexts, saveContext } from '#cli/context'
import type { PostgresTarget } from '#server/store'
import { openCliBed, runLine, serviceManifest, type CliBed } from '../../../src/cli/commands/fixture.ts'
import { openAuthority } from '../stack/authority.ts'
import { openCluster, type Cluster } from './cluster.ts'

const password = 'correct horse battery staple'
let folder: string
let cluster: Cluster
let caFile: string
let passwordFile: string

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tideway-postgres-server-'))
  const authority = openAuthority('A database authority')
  cluster = await openCluster({ tls: authority.leafFor('127.0.0.1') })
  await cluster.query('postgres', `ALTER ROLE tideway PASSWORD '${password}'`)
  caFile = join(folder, 'ca.pem')
  writeFileSync(caFile, authority.caPem)
  passwordFile = join(folder, 'password')
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 })
})
after(async () => {
  await cluster[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true })
})

const socketUrl = ({ user, database, host, port }: PostgresTarget) =>
  `postgres://${user}@:${port}/${database}?host=${encodeURIComponent(host)}`
const tlsUrl = ({ user, database }: PostgresTarget, host = '127.0.0.1', ca = caFile) =>
  `postgres://${user}@${host}:${cluster.port}/${database}?sslmode=verify-full&sslrootcert=${encodeURIComponent(ca)}`

test('a server on PostgreSQL over TLS, with its password in a file', async () => {
  const target = await cluster.createDatabase()
  await using bed = await openCliBed({ store: tlsUrl(target), storePasswordFile: passwordFile })
  const manifest = await bed.file('service.yaml', serviceManifest('there'))
  assert.equal((await bed.run(['ctl', 'apply', '-f', manifest])).code, 0)
  assert.match((await bed.run(['ctl', 'get', 'services'])).stdout, /^there /m)
  const [row] = await cluster.query(
    'postgres',
    `SELECT bool_and(ssl) AS all FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname = '${target.database}'`,
  )
  assert.deepEqual(row, { all: true })
})

test('a database that does not prove its name, and a wrong password, are refused', async () => {
  const target = await cluster.createDatabase()
  const other = join(folder, 'other-ca.pem')
  writeFileSync(other, openAuthority('Another').caPem)
  const wrong = join(folder, 'wrong')
  writeFileSync(wrong, 'wrong', { mode: 0o600 })
  for (const [store, storePasswordFile, reason] of [
    [tlsUrl(target, '127.0.0.1', other), passwordFile, /self-signed|unable to verify|certificate/],
    [tlsUrl(target, 'localhost'), passwordFile, /does not match|altnames/],
    [tlsUrl(target), wrong, /password authentication failed/],
  ] as const) {
    await assert.rejects(
      openCliBed({ store, storePasswordFile }),
      (error: { code: string; message: string }) => {
        assert.equal(error.code, 'STORE_UNAVAILABLE')
        assert.match(error.message, reason)
        assert.ok(!error.message.includes(password))
        return true
      },
    )
  }
})

test('a password in the URL is refused with the ways out, and never repeated', async () => {
  const store = `postgres://tideway:hush@127.0.0.1:${cluster.port}/x`
  for (const args of [
    ['server', '--store', store],
    ['restore', 'file', '--store', store],
  ]) {
    const { code, stderr } = await runLine(args)
    assert.notEqual(code, 0)
    assert.match(stderr, /--store-password-file, PGPASSFILE/)
    assert.ok(!stderr.includes('hush'))
  }
})

test('a backup goes from SQLite to PostgreSQL and back, with objects, keys and tokens, but not under a server that runs', async () => {
  await using first = await openCliBed()
  const sealingKeyFile = join(first.folder, 'server', 'sealing-key')
  const manifest = await first.file('service.yaml', serviceManifest('moved'))
  assert.equal((await first.run(['ctl', 'apply', '-f', manifest])).code, 0)
  const [context] = loadContexts(first.contexts).contexts

  /** What the administrator's old token sees on a server. */
  async function contentOf(bed: CliBed) {
    const contexts = join(bed.folder, 'moved.yaml')
    saveContext(contexts, { ...context!, server: bed.ready.url }, { makeCurrent: true })
    const env = { TIDEWAY_CONTEXTS: contexts }
    const run = async (...args: string[]) => {
      const { code, stdout, stderr } = await bed.run(args, { env })
      assert.equal(code, 0, stderr)
      return stdout
    }
    const file = join(bed.folder, 'backup')
    await run('backup', file)
    const uid = /uid: (\S+)/.exec(await run('ctl', 'get', 'service', 'moved', '-o', 'yaml'))![1]
    const kid = /^(\S{20,})/m.exec(await run('keys', 'list'))![1]
    return { uid, kid, file }
  }
  const { file, ...before } = await contentOf(first)

  const target = await cluster.createDatabase()
  const store = socketUrl(target)
  const restored = await runLine(['restore', file, '--store', store])
  assert.equal(restored.code, 0, restored.stderr)
  const refused = await runLine(['restore', file, '--store', store])
  assert.match(refused.stderr, /holds \d+ entries already/)
  let back: string
  {
    await using second = await openCliBed({ store, sealingKeyFile })
    const { code, stderr } = await runLine(['restore', file, '--store', store, '--replace'])
    assert.notEqual(code, 0)
    assert.match(stderr, /a server runs on this store.*stop all of its servers first/s)
    const { file: copy, ...content } = await contentOf(second)
    assert.deepEqual(content, before)
    back = join(folder, 'back')
    writeFileSync(back, readFileSync(copy))
  }

  const dataDir = join(folder, 'back-data')
  const again = await runLine(['restore', back, '--data-dir', dataDir])
  assert.equal(again.code, 0, again.stderr)
  await using third = await openCliBed({ dataDir, sealingKeyFile })
  const { file: _, ...content } = await contentOf(third)
  assert.deepEqual(content, before)
})
