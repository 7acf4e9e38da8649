// A store of the first server that there was, under today's.
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { openFetch, saveContext } from '#cli/context'
import { openCliBed } from '../src/cli/commands/fixture.ts'

const written = readFileSync(path.join(import.meta.dirname, 'upgrade', 'first-store.sql'), 'utf8')
const noted = (what: string) => new RegExp(`^-- ${what}: (\\S+)$`, 'm').exec(written)![1]!

test('the store of the first server opens: objects, keys, tokens and watches go on, and it can be written', async (context) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'tideway-upgrade-'))
  context.after(() => rmSync(folder, { recursive: true }))
  const dataDir = path.join(folder, 'data')
  mkdirSync(dataDir)
  const sealingKeyFile = path.join(folder, 'sealing-key')
  writeFileSync(sealingKeyFile, `${noted('sealing key')}\n`, { mode: 0o600 })
  const database = new DatabaseSync(path.join(dataDir, 'tideway.db'))
  database.exec(written)
  database.close()

  await using bed = await openCliBed({ dataDir, sealingKeyFile })
  const server = bed.ready.url
  const caPem = readFileSync(bed.ready.caFile!, 'utf8')
  const token = noted("administrator's token")
  saveContext(bed.contexts, { name: 'old', server, token, caPem }, { makeCurrent: true })
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await bed.run(args)
    assert.equal(code, 0, stderr)
    return stdout
  }
  for (const [plural, name] of [
    ['credentialbindings', 'binding'],
    ['credentialsources', 'aws'],
    ['services', 'bedrock'],
    ['workloadidentitys', 'workload'],
    ['daemons', 'one'],
    ['jointokens', 'unused'],
  ] as const) {
    assert.match(await run('ctl', 'get', plural), new RegExp(`^${name} `, 'm'))
  }
  const kid = /\/custody\/issuer\/([\w-]{43})/.exec(written)![1]!
  assert.ok((await run('keys', 'list')).includes(kid), 'the key that signed before signs on')

  const query = new URLSearchParams({ watch: '1', resourceVersion: '36', timeoutSeconds: '1' })
  const answer = await openFetch({ caPem })(
    `${server}/apis/auth.riptides.io/v1alpha1/jointokens?${query.toString()}`,
    { headers: { authorization: `Bearer ${token}` } },
  )
  assert.match((await answer.text()).split('\n')[0]!, /"type":"ADDED".*"name":"unused"/)
  await run('ctl', 'delete', 'credentialbinding', 'binding')
  assert.doesNotMatch(await run('ctl', 'get', 'credentialbindings'), /^binding /m)
})
