import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { findPassword, parsePostgresUrl, passwordCredentialName, readPassword } from './postgres-target.ts'

test('a URL names host, port, user and database; another machine is asked for its certificate', () => {
  assert.deepEqual(parsePostgresUrl('postgres://tideway@db.example:6432/control'), {
    host: 'db.example',
    port: 6432,
    user: 'tideway',
    database: 'control',
    tls: {},
  })
  assert.deepEqual(parsePostgresUrl('postgresql://tideway@[fd00::1]?sslrootcert=/ca.pem'), {
    host: 'fd00::1',
    port: 5432,
    user: 'tideway',
    database: 'tideway',
    tls: { caFile: '/ca.pem' },
  })
})

test('on this machine there is no TLS unless it is asked for', () => {
  assert.equal(parsePostgresUrl('postgres://tideway@127.0.0.1/control').tls, undefined)
  assert.deepEqual(parsePostgresUrl('postgres://tideway@localhost/control?sslmode=verify-full').tls, {})
  const { host, tls, database } = parsePostgresUrl('postgres://tideway@/control?host=/run/postgresql')
  assert.deepEqual([host, tls, database], ['/run/postgresql', undefined, 'control'])
  assert.equal(parsePostgresUrl('postgres://tideway@:6432/control?host=/run/postgresql').port, 6432)
})

test('several hosts are those among which the database moves', () => {
  const url = 'postgres://tideway@db1.example:6432,[fd00::1]/control?target_session_attrs=read-write'
  assert.deepEqual(parsePostgresUrl(url), {
    host: 'db1.example',
    port: 6432,
    user: 'tideway',
    database: 'control',
    tls: {},
    others: [{ host: 'fd00::1', port: 5432, tls: {} }],
  })
  const { port, others } = parsePostgresUrl('postgres://tideway@:6432,:6433/control?host=/run/postgresql')
  assert.deepEqual([port, others], [6432, [{ host: '/run/postgresql', port: 6433, tls: undefined }]])
})

for (const [text, reason] of [
  ['postgres://tideway:secret@db/x', /no password in the URL.*PGPASSFILE/],
  ['postgres://tideway@db/x?sslmode=require', /refused: verify-full/],
  ['postgres://tideway@db/x?sslmode=disable', /refused: verify-full/],
  ['postgres://tideway@localhost,db/x?sslmode=disable', /refused: verify-full/],
  ['postgres://tideway:secret@db1,db2/x', /no password in the URL/],
  ['postgres://tideway@db/x?target_session_attrs=any', /refused: read-write/],
  ['postgres://tideway@db/x?sslmod=x', /unknown parameter sslmod/],
  ['postgres://tideway@db/x?host=/run', /either a host/],
  ['postgres://tideway@/x', /either a host/],
  ['postgres://db/x', /no user/],
  ['mysql://tideway@db/x', /postgres:\/\/USER/],
  ['tideway.db', /postgres:\/\/USER/],
] as const) {
  test(`${text.replace('secret', '...')} is refused with the reason, which quotes no password`, () => {
    assert.throws(
      () => parsePostgresUrl(text),
      (error: Error) => {
        assert.match(error.message, reason)
        assert.doesNotMatch(error.message, /secret/)
        return error instanceof TypeError
      },
    )
  })
}

const target = parsePostgresUrl('postgres://tideway@db.example/control')
const folder = mkdtempSync(join(tmpdir(), 'tideway-password-'))
after(() => rmSync(folder, { recursive: true }))
function file(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text, { mode: 0o600 })
  return path
}

test('the password is in the file, else in the credential, else in the password file of libpq', async () => {
  const places = {
    file: file('own', 'first\n'),
    credentialsDirectory: folder,
    passFile: file('pgpass', 'db.example:5432:*:tideway:third\n'),
  }
  file(passwordCredentialName, 'second')
  assert.equal(await readPassword(target, places), 'first')
  assert.equal(await readPassword(target, { ...places, file: undefined }), 'second')
  assert.equal(await readPassword(target, { passFile: places.passFile }), 'third')
  assert.equal(await readPassword(target, {}), undefined)
})

test('a file that others can read is refused with the remedy', async () => {
  const open = file('open', 'x')
  chmodSync(open, 0o640)
  for (const places of [{ file: open }, { passFile: open }]) {
    await assert.rejects(readPassword(target, places), {
      code: 'SETTING_INVALID',
      hint: `run: chmod 600 ${open}`,
    })
  }
  await assert.rejects(readPassword(target, { file: join(folder, 'none') }), { code: 'SETTING_INVALID' })
})

test('the first line that fits counts in a password file, with wildcards and escapes', () => {
  const text =
    '# a comment\nother:*:*:*:no\ndb.example:5432:control:else:no\n*:*:*:tideway:a\\:b\\\\c\n*:*:*:*:late\n'
  assert.equal(findPassword(text, target), 'a:b\\c')
  assert.equal(findPassword('*:1:*:*:no', target), undefined)
  assert.equal(findPassword('localhost:*:*:*:socket', { ...target, host: '/run/postgresql' }), 'socket')
})
