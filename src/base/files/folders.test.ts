import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { isFault } from '#base/errors'
import { makeFolder, makeNamedFolder } from '#base/files'

function openPlace() {
  const folder = mkdtempSync(join(tmpdir(), 'tideway-folders-'))
  return { folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true }) }
}

test('a folder and those above it are made of the mode asked for, whatever the umask', () => {
  using place = openPlace()
  const umask = process.umask(0o077)
  try {
    makeFolder(join(place.folder, 'a/b'), 0o755)
  } finally {
    process.umask(umask)
  }
  for (const path of ['a', 'a/b']) assert.equal(statSync(join(place.folder, path)).mode & 0o777, 0o755)
  makeFolder(join(place.folder, 'a'), 0o700)
  assert.equal(statSync(join(place.folder, 'a')).mode & 0o777, 0o755, 'one that is there is left as it is')
})

test('where no folder can be, that is said of the setting that names it, and does not take for ever', () => {
  using place = openPlace()
  const [file, link] = [join(place.folder, 'file'), join(place.folder, 'link')]
  writeFileSync(file, '')
  symlinkSync('/does/not/exist', link)
  for (const path of ['/proc/tideway', '/proc/1/x/y', file, join(file, 'x'), link, join(link, 'x')]) {
    assert.throws(
      () => makeNamedFolder('--data-dir', { path, mode: 0o700 }),
      (error) =>
        isFault(error, 'SETTING_INVALID') &&
        error.message.startsWith('--data-dir: ') &&
        /name a folder that user \d+ can write or make/.test(error.hint ?? ''),
      path,
    )
  }
})
