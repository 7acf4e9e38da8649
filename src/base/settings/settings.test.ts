import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { readSettingsFile, resolveSettings, type SettingsFile } from '#base/settings'

const text = (value: unknown) => {
  if (typeof value !== 'string') throw new TypeError('a text is expected')
  return value
}
const specs = { publicUrl: { parse: text, default: 'default' }, dataDir: { parse: text, default: '/d' } }

async function fileOf(content: string): Promise<SettingsFile | undefined> {
  const directory = mkdtempSync(path.join(tmpdir(), 'settings-'))
  try {
    const file = path.join(directory, 'server.yaml')
    writeFileSync(file, content)
    return await readSettingsFile(file)
  } finally {
    rmSync(directory, { recursive: true })
  }
}

test('flags win over environment, environment over file, file over default', async () => {
  const file = await fileOf('publicUrl: file\ndataDir: file\n')
  const env = { TIDEWAY_PUBLIC_URL: 'env' }
  assert.equal(resolveSettings(specs, { flags: { publicUrl: 'flag' }, env, file }).publicUrl, 'flag')
  assert.equal(resolveSettings(specs, { env, file }).publicUrl, 'env')
  assert.equal(resolveSettings(specs, { env, file }).dataDir, 'file')
  assert.equal(resolveSettings(specs, {}).dataDir, '/d')
})

test('an unknown key in the file is refused by its name', async () => {
  const file = await fileOf('publicURL: x\n')
  assert.throws(() => resolveSettings(specs, { file }), { code: 'SETTING_INVALID', message: /"publicURL"/ })
})

test('a value that cannot be used is refused with its key and the layer it came from', async () => {
  const file = await fileOf('dataDir: 3\n')
  assert.throws(() => resolveSettings(specs, { file }), {
    message: /settings file .*: dataDir: a text is expected/,
  })
})

test('a file that cannot be read, or is no mapping, is refused by its path; no path is no file', async () => {
  assert.equal(await readSettingsFile(undefined), undefined)
  const invalid = { code: 'SETTING_INVALID', message: /^settings file \// }
  await assert.rejects(readSettingsFile('/nowhere/at/all.yaml'), invalid)
  await assert.rejects(fileOf('- a\n'), invalid)
})

test('settings cannot be changed after they were resolved', () => {
  assert.throws(() => Object.assign(resolveSettings(specs, {}), { dataDir: '/x' }), TypeError)
})
