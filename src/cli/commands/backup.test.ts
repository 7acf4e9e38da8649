import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, before, test } from 'node:test'
import { loadContexts, openFetch, saveContext } from '#cli/context'
import { openCliBed, runLine, serviceManifest, type CliBed } from './fixture.ts'

let bed: CliBed
let file: string
/** Newest when the backup was made. */
let revision: string

before(async () => {
  bed = await openCliBed()
  file = join(bed.folder, 'backup')
  const manifest = await bed.file('service.yaml', serviceManifest('kept'))
  assert.equal((await bed.run(['ctl', 'apply', '-f', manifest])).code, 0)
  const { code, stderr } = await bed.run(['backup', file])
  assert.equal(code, 0, stderr)
  assert.match(stderr, /entries as of revision \d+ are in .*needs the sealing key/s)
  revision = /revision (\d+)/.exec(stderr)![1]!
})
after(() => bed[Symbol.asyncDispose]())

const restore = (folder: string, ...args: string[]) =>
  runLine(['restore', file, '--data-dir', folder, ...args])
const newFolder = (name: string) => join(bed.folder, name)
const keys = async (from: CliBed, env = {}) =>
  (await from.run(['keys', 'list'], { env })).stdout.match(/\S{20,}/g)

test('a backup is for its owner only, and holds neither the token nor a private key in the open', () => {
  assert.equal(statSync(file).mode & 0o777, 0o600)
  const values = readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((line) =>
      line.includes('"value"')
        ? Buffer.from((JSON.parse(line) as { value: string }).value, 'base64').toString('latin1')
        : [],
    )
    .join('\n')
  assert.ok(values.includes('"name":"kept"'))
  assert.ok(!values.includes(bed.admin.token.revealText()))
  assert.ok(!values.includes('PRIVATE KEY'))
})

test('a server on the restored store has the objects, the keys and the tokens of the old one', async () => {
  const folder = newFolder('restored')
  const { code, stderr } = await restore(folder)
  assert.equal(code, 0, stderr)
  assert.match(stderr, /are restored.*sealing key .* must be in .*restored\/sealing-key/s)
  const sealingKeyFile = join(bed.folder, 'server', 'sealing-key')
  await using restored = await openCliBed({ dataDir: folder, sealingKeyFile })
  const contexts = join(restored.folder, 'moved.yaml')
  const [context] = loadContexts(bed.contexts).contexts
  saveContext(contexts, { ...context!, server: restored.ready.url }, { makeCurrent: true })
  const env = { TIDEWAY_CONTEXTS: contexts }
  const { stdout } = await restored.run(['ctl', 'get', 'services'], { env })
  assert.match(stdout, /^kept /m)
  assert.deepEqual(await keys(restored, env), await keys(bed))

  // A watcher of the old server, whose revisions the new one never gave.
  const query = new URLSearchParams({ watch: '1', resourceVersion: String(Number(revision) + 3) })
  const url = `${restored.ready.url}/apis/core.riptides.io/v1alpha1/services?${query.toString()}`
  const headers = { authorization: `Bearer ${context!.token}` }
  const answer = await openFetch({ caPem: context!.caPem })(url, { headers })
  assert.match(await answer.text(), /"code":410/)
})

test('another sealing key is refused at the start of the server', async () => {
  const folder = newFolder('unsealed')
  assert.equal((await restore(folder)).code, 0)
  await assert.rejects(openCliBed({ dataDir: folder }), { code: 'SEALING_KEY_MISSING' })
})

test('a store that holds something is left as it is, unless its loss is allowed', async () => {
  const folder = newFolder('full')
  assert.equal((await restore(folder)).code, 0)
  const refused = await restore(folder)
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /holds \d+ entries already.*--replace/s)
  assert.equal((await restore(folder, '--replace')).code, 0)
})

test('a store that is damaged is refused with what to do, which helps; one of a newer version, too', async () => {
  const folder = newFolder('broken')
  const database = join(folder, 'tideway.db')
  assert.equal((await restore(folder)).code, 0)
  const newer = new DatabaseSync(database)
  newer.exec('PRAGMA user_version = 999')
  newer.close()
  assert.match(
    (await restore(folder, '--replace')).stderr,
    /newer version .*restore a backup made by this one into another store/s,
  )
  writeFileSync(database, 'not a database, whatever its name says. '.repeat(200))
  const { code, stderr } = await restore(folder, '--replace')
  assert.notEqual(code, 0)
  assert.match(stderr, /is damaged: .*move \S+tideway\.db\* away and restore a backup/s)
  for (const name of readdirSync(folder)) {
    if (name.startsWith('tideway.db')) renameSync(join(folder, name), join(folder, `old-${name}`))
  }
  assert.equal((await restore(folder)).code, 0)
})

test('the store of a server that runs is refused with what to do, and the server goes on', async () => {
  const { code, stderr } = await restore(join(bed.folder, 'server'), '--replace')
  assert.notEqual(code, 0)
  assert.match(stderr, /in use by another process.*stop the other first/s)
  assert.match((await bed.run(['ctl', 'get', 'services'])).stdout, /^kept /m)
})

test('a file that is cut off, changed or of a newer version leaves the store as it was', async () => {
  const text = readFileSync(file, 'utf8')
  for (const [name, content, reason] of [
    ['torn', text.slice(0, text.length / 2), /damaged|cut off/],
    ['short', text.slice(0, text.lastIndexOf('{')), /cut off/],
    ['changed', text.replace('"key":"/registry', '"key":"/registrY'), /check sum/],
    ['newer', text.replace('"version":1', '"version":9'), /newer version/],
    ['other', 'hello\n', /no backup/],
  ] as const) {
    const path = join(bed.folder, name)
    writeFileSync(path, content)
    const folder = newFolder(`${name}-store`)
    mkdirSync(folder)
    const { code, stderr } = await runLine(['restore', path, '--data-dir', folder])
    assert.notEqual(code, 0, name)
    assert.match(stderr, reason)
    assert.throws(() => statSync(join(folder, 'tideway.db')), { code: 'ENOENT' }, 'nothing was opened')
  }
})

test('what a backup that was killed has left goes with the next one of that name', async () => {
  const partial = `${file}.partial`
  writeFileSync(partial, 'torn', { mode: 0o644 })
  const { code, stderr } = await bed.run(['backup', file])
  assert.equal(code, 0, stderr)
  assert.equal(statSync(file).mode & 0o777, 0o600)
  assert.throws(() => statSync(partial), { code: 'ENOENT' })
})

test('a backup that cannot be written leaves the earlier one', async () => {
  const before = readFileSync(file)
  const { code, stderr } = await bed.run(['backup', join(file, 'below')])
  assert.notEqual(code, 0)
  assert.match(stderr, /ENOTDIR/)
  assert.deepEqual(readFileSync(file), before)
})
