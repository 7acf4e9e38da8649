import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { isFault, type FaultCode } from '#base/errors'
import { openMemoryStore } from '#server/store'
import { loadSealingKey, openCustody, sealingCredentialName } from './index.ts'

const faulty = (code: FaultCode) => (error: unknown) => isFault(error, code)

describe('the sealing key', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tideway-keys-'))
  })
  afterEach(() => rm(folder, { recursive: true }))

  it('is created 0600 on the first start and read on the next', async () => {
    const store = openMemoryStore()
    const file = join(folder, 'state', 'sealing.key')
    const created = await loadSealingKey({ store, file })
    assert.equal((await stat(file)).mode & 0o777, 0o600)
    await openCustody(store, created)
    assert.ok((await loadSealingKey({ store, file })).equals(created))
  })

  it('is one key for all who start at the same time', async () => {
    const store = openMemoryStore()
    const file = join(folder, 'sealing.key')
    const keys = await Promise.all(Array.from({ length: 5 }, () => loadSealingKey({ store, file })))
    assert.ok(keys.every((key) => key.equals(keys[0]!)))
  })

  it('is never created beside sealed data: it is missing, and nothing is lost', async () => {
    const store = openMemoryStore()
    const file = join(folder, 'sealing.key')
    const key = await loadSealingKey({ store, file })
    await openCustody(store, key)
    const text = await readFile(file, 'utf8')
    await rm(file)
    await assert.rejects(loadSealingKey({ store, file }), faulty('SEALING_KEY_MISSING'))
    await assert.rejects(stat(file), { code: 'ENOENT' })
    await writeFile(file, text, { mode: 0o600 })
    await openCustody(store, await loadSealingKey({ store, file }))
  })

  it('is refused when others can read it, when it is malformed, or when it is no file', async () => {
    const store = openMemoryStore()
    const file = join(folder, 'sealing.key')
    await loadSealingKey({ store, file })
    for (const mode of [0o640, 0o604, 0o660]) {
      await chmod(file, mode)
      await assert.rejects(loadSealingKey({ store, file }), faulty('SEALING_KEY_WRONG'))
    }
    await chmod(file, 0o600)
    for (const text of ['', 'short', randomBytes(31).toString('base64'), randomBytes(32).toString('hex')]) {
      await writeFile(file, text)
      await assert.rejects(loadSealingKey({ store, file }), faulty('SEALING_KEY_WRONG'))
    }
    await assert.rejects(loadSealingKey({ store, file: folder }), faulty('SEALING_KEY_WRONG'))
  })

  it('comes from the systemd credential where there is one', async () => {
    const store = openMemoryStore()
    const credentialsDirectory = join(folder, 'credentials')
    await mkdir(credentialsDirectory)
    const key = randomBytes(32)
    await writeFile(join(credentialsDirectory, sealingCredentialName), key.toString('base64'), {
      mode: 0o440,
    })
    const file = join(folder, 'sealing.key')
    const loaded = await loadSealingKey({ store, file, credentialsDirectory })
    assert.deepEqual(loaded.export(), key)
    await assert.rejects(stat(file), { code: 'ENOENT' })
  })
})
