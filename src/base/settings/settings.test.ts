import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { resolveSettings } from '#base/settings'

const text = (value: unknown) => {
  if (typeof value !== 'string') throw new TypeError('a text is expected')
  return value
}
const specs = { publicUrl: { parse: text, default: 'default' }, dataDir: { parse: text, default: '/d' } }

function withFile<T>(content: string, use: (file: string) => T): T {
  const directory = mkdtempSync(path.join(tmpdir(), 'settings-'))
  try {
    const file = path.join(directory, 'server.yaml')
    writeFileSync(file, content)
    return use(file)
  } finally {
    rmSync(directory, { recursive: true })
  }
}

test('flags win over environment, environment over file, file over default', () => {
  withFile('publicUrl: file\ndataDir: file\n', (file) => {
    const env = { TIDEWAY_PUBLIC_URL: 'env' }
    assert.equal(resolveSettings(specs, { flags: { publicUrl: 'flag' }, env, file }).publicUrl, 'flag')
    assert.equal(resolveSettings(specs, { env, file }).publicUrl, 'env')
    assert.equal(resolveSettings(specs, { env, file }).dataDir, 'file')
    assert.equal(resolveSettings(specs, {}).dataDir, '/d')
  })
})

test('an unknown key in the file is refused by its name', () => {
  withFile('publicURL: x\n', (file) => {
    assert.throws(() => resolveSettings(specs, { file }), { code: 'SETTING_INVALID', message: /"publicURL"/ })
  })
})

test('a value that cannot be used is refused with its key and the layer it came from', () => {
  withFile('dataDir: 3\n', (file) => {
    assert.throws(() => resolveSettings(specs, { file }), {
      message: /settings file .*: dataDir: a text is expected/,
    })
  })
})

test('settings cannot be changed after they were resolved', () => {
  assert.throws(() => Object.assign(resolveSettings(specs, {}), { dataDir: '/x' }), TypeError)
})
