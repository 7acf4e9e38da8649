import assert from 'node:assert/strict'
import { chmod, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, beforeEach, describe, test } from 'node:test'
import { openCliBed, type CliBed } from './fixture.ts'

describe('tideway context', () => {
  let bed: CliBed
  /** A context file of this test's own, which is not there at first. */
  let file: string
  before(async () => {
    bed = await openCliBed()
    file = join(bed.folder, 'own', 'contexts.yaml')
  })
  beforeEach(() => rm(file, { force: true }))
  after(() => bed[Symbol.asyncDispose]())

  const context = (args: readonly string[], input = '') =>
    bed.run(['context', ...args], { input, env: { TIDEWAY_CONTEXTS: file } })
  const add = (
    name: string,
    { url = bed.ready.url, ca = `--ca-hash=${bed.ready.caHash}`, token = bed.admin.token.revealText() } = {},
  ) => context(['add', name, `--url=${url}`, '--token-file=-', ca], token)

  test('add checks access, writes the file for its owner only, and makes the context current', async () => {
    const added = await add('first')
    assert.deepEqual(added, { code: 0, stdout: '', stderr: 'context "first" added and made current\n' })
    assert.equal((await stat(file)).mode & 0o777, 0o600)
    assert.equal((await context(['current'])).stdout, 'first\n')
    assert.match(
      (await context(['status'])).stdout,
      /^first: https:\/\/127\.0\.0\.1:\d+ is reachable and accepts the token\n$/,
    )
  })

  test('use, list and remove', async () => {
    await add('first')
    await add('second', { ca: `--ca-file=${bed.ready.caFile}` })
    assert.match(
      (await context(['list'])).stdout,
      /^CURRENT +NAME +SERVER\n +first +https.*\n\* +second +https/,
    )
    assert.equal((await context(['use', 'first'])).stderr, 'current context is "first"\n')
    assert.match((await context(['list'])).stdout, /\n\* +first/)
    assert.equal((await context(['remove', 'first'])).code, 0)
    const current = await context(['current'])
    assert.equal(current.code, 2)
    assert.match(current.stderr, /^error: no context is set\nhint: start 'tideway dev'/)
    for (const verb of ['use', 'remove']) {
      const unknown = await context([verb, 'first'])
      assert.deepEqual(
        [unknown.code, unknown.stderr],
        [2, 'error: no context is named "first"\nhint: there are: second\n'],
      )
    }
  })

  test('add refuses what is wrong, and then writes nothing', async () => {
    const other = await openCliBed()
    const refusals: [given: Parameters<typeof add>[1], code: number, message: RegExp][] = [
      [{ token: 'wrong' }, 1, /does not accept this token/],
      [{ token: ' \n' }, 2, /there is no token in -/],
      [{ token: 'two\nlines' }, 2, /there is no token in -/],
      [
        { ca: `--ca-hash=sha256:${'0'.repeat(64)}` },
        2,
        /no certificate of https:.* has the hash .*\nhint: .*somebody may be in between/,
      ],
      [{ ca: '--ca-hash=sha256:12' }, 2, /is not sha256: and 64 hexadecimal digits/],
      [
        { ca: `--ca-file=${other.ready.caFile}` },
        75,
        /self-signed certificate.*\nhint: the server's CA is not the one/,
      ],
      [
        { ca: '--' },
        75,
        /self-signed certificate.*\nhint: no public CA signed its certificate: .* --ca-hash/,
      ],
      [{ ca: '--ca-file=/does/not/exist' }, 2, /^error: --ca-file: ENOENT/],
      [{ ca: `--ca-file=${import.meta.filename}` }, 2, /is not a PEM certificate/],
      [{ ca: `--name=x` }, 2, /unknown option/],
      [{ url: bed.ready.url.replace('https', 'http') }, 2, /an https:\/\/ URL is expected/],
      [{ url: 'localhost' }, 2, /an https:\/\/ URL is expected/],
      [
        { url: 'https://127.0.0.1:1', ca: '--' },
        75,
        /ECONNREFUSED.*\nhint: is the server running, and is this its address\?/,
      ],
    ]
    try {
      for (const [given, code, message] of refusals) {
        const outcome = await add('bad', given)
        assert.equal(outcome.code, code, outcome.stderr)
        assert.match(outcome.stderr, message)
        assert.doesNotMatch(outcome.stderr, /\n\s+at /)
      }
      await assert.rejects(stat(file))
      const twice = await context([
        'add',
        'x',
        `--url=${bed.ready.url}`,
        '--token-file=-',
        '--ca-file=a',
        '--ca-hash=b',
      ])
      assert.match(twice.stderr, /either --ca-file or --ca-hash/)
    } finally {
      await other[Symbol.asyncDispose]()
    }
  })

  test('a context whose token or CA no longer fits says what to do', async () => {
    await add('old')
    const text = await readFile(file, 'utf8')
    await writeFile(file, text.replace(/token: .*/, 'token: replaced'))
    const status = await context(['status'])
    assert.deepEqual([status.code, status.stdout], [1, ''])
    assert.match(status.stderr, /does not accept this token/)
    const get = await bed.run(['ctl', 'get', 'svc'], { env: { TIDEWAY_CONTEXTS: file } })
    assert.equal(get.code, 1)
    assert.match(get.stderr, /^error: Unauthorized/)
  })

  test('a context file that others can read, that is damaged or cannot be read is refused without showing it', async () => {
    await add('mine')
    await chmod(file, 0o644)
    const open = await context(['status'])
    assert.equal(open.code, 2)
    assert.match(open.stderr, /can be read by others\nhint: chmod 600/)
    await chmod(file, 0o600)
    for (const text of [
      'token: "hush',
      '[]',
      'contexts: [{ name: a }]',
      'kind: Config\n',
      'kind: Config\nclusters: a\nusers: []\ncontexts: []\n',
      'contexts:\n  - hush: : hush',
    ]) {
      await writeFile(file, text)
      const damaged = await context(['list'])
      assert.equal(damaged.code, 2)
      assert.match(damaged.stderr, /is damaged\nhint: it should hold/)
      assert.doesNotMatch(damaged.stderr, /hush/)
    }
    const directory = await bed.run(['context', 'list'], { env: { TIDEWAY_CONTEXTS: bed.ready.dataDir } })
    assert.equal(directory.code, 2)
    assert.match(directory.stderr, /cannot be read: EISDIR/)
  })
})
