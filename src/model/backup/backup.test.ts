import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { backupLines, openBackupReader, type BackupEntry } from './backup.ts'

const header = { revision: 7, createdAt: '2026-01-02T03:04:05.000Z' }
const entries: BackupEntry[] = [
  { key: '/a', value: Buffer.from('one') },
  { key: '/b', value: Buffer.from([0, 255]) },
]
const write = (values: readonly BackupEntry[] = entries) => [...backupLines(header, values)].join('')

function read(text: string) {
  const reader = openBackupReader()
  const found = text
    .split('\n')
    .slice(0, -1)
    .flatMap((line) => reader.push(line) ?? [])
  return { ...reader.end(), found }
}

test('gives back every entry, with the revision and the time', () => {
  fc.assert(
    fc.property(fc.array(fc.record({ key: fc.string(), value: fc.uint8Array() })), (values) => {
      const { found, ...rest } = read(write(values))
      assert.deepEqual(
        found.map(({ key, value }) => ({ key, value: Uint8Array.from(value) })),
        values.map(({ key, value }) => ({ key, value: Uint8Array.from(value) })),
      )
      assert.deepEqual(rest, { ...header, entries: values.length })
    }),
  )
})

test('a file that is cut off anywhere, or of which a bit was changed, is refused', () => {
  const text = write()
  for (let length = 0; length < text.length; length++) {
    assert.throws(() => read(text.slice(0, length)), { code: 'BACKUP_INVALID' }, `${length} bytes`)
  }
  for (let at = 0; at < text.length; at++) {
    const changed = Buffer.from(text)
    changed[at]! ^= 1
    assert.throws(() => read(changed.toString('latin1')), { code: 'BACKUP_INVALID' }, `byte ${at}`)
  }
})

test('lines that are missing, doubled, exchanged or added are noticed', () => {
  const [first, one, two, last] = [...backupLines(header, entries)]
  for (const lines of [
    [first, one, last],
    [first, one, one, two, last],
    [first, two, one, last],
    [first, one, two, last, one],
    [first, one, two, last, last],
    [one, two, last],
  ]) {
    assert.throws(() => read(lines.join('')), { code: 'BACKUP_INVALID' })
  }
})

test('a file of a newer version, and one of something else, are refused with the reason', () => {
  const newer = write().replace('"version":1', '"version":2')
  assert.throws(() => read(newer), { message: /newer version.*2/, hint: /version that wrote it/ })
  for (const text of ['', 'hello\n', '{}\n', '{"format":"other"}\n', 'SQLite format 3\n']) {
    assert.throws(() => read(text), { code: 'BACKUP_INVALID', message: /no backup|cut off/ })
  }
})
