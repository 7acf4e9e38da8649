import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { isFault } from '#base/errors'
import { silentLog } from '#base/log'
import { resolveSettings } from '#base/settings'
import { runEmulator, type EmulatorReady } from './run-emulator.ts'
import { emulatorSettings } from './settings.ts'
import { openTestEmulator, send } from './test-emulator.ts'

describe('the emulator program', () => {
  test('leaves CA, root credentials and address in its folder, the credentials for their owner only', async () => {
    await using emulator = await openTestEmulator()
    const { ready, folder } = emulator
    assert.match(readFileSync(ready.caFile, 'utf8'), /BEGIN CERTIFICATE/)
    assert.equal(readFileSync(join(folder, 'address'), 'utf8'), `127.0.0.1:${ready.port}\n`)
    assert.equal(statSync(ready.rootCredentialsFile).mode & 0o777, 0o600)
    assert.equal(statSync(ready.accessLogFile).mode & 0o777, 0o600)
  })

  test('without a state folder it makes a temporary one and removes it', async () => {
    const stop = new AbortController()
    let ready: EmulatorReady | undefined
    await runEmulator(resolveSettings(emulatorSettings, { flags: { listen: '127.0.0.1:0' } }), {
      signal: stop.signal,
      log: silentLog,
      onReady(value) {
        ready = value
        assert.ok(existsSync(value.caFile))
        stop.abort()
      },
    })
    assert.equal(existsSync(dirname(ready?.caFile ?? '/')), false)
  })

  test('takes root credentials from a file, and refuses one without a key', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tideway-emulator-test-'))
    const rootCredentialsFile = join(folder, 'credentials')
    writeFileSync(rootCredentialsFile, '[default]\naws_access_key_id = AKIAX\n')
    const settings = resolveSettings(emulatorSettings, {
      flags: { listen: '127.0.0.1:0', stateDir: folder, rootCredentialsFile },
    })
    await assert.rejects(runEmulator(settings, { signal: AbortSignal.abort(), log: silentLog }), (error) =>
      isFault(error, 'SETTING_INVALID'),
    )
    rmSync(folder, { recursive: true })
  })

  test('checks its settings', () => {
    for (const flags of [{ listen: '127.0.0.1' }, { listen: '127.0.0.1:70000' }, { accountId: '12' }]) {
      assert.throws(
        () => resolveSettings(emulatorSettings, { flags }),
        (error) => isFault(error, 'SETTING_INVALID'),
      )
    }
    const { listen } = resolveSettings(emulatorSettings, { flags: { listen: '[::1]:443' } })
    assert.deepEqual(listen, { host: '::1', port: 443 })
  })

  test('a path that cannot be decoded and a body that is too large get an answer', async () => {
    await using emulator = await openTestEmulator()
    const bad = await send(emulator, { path: '/%zz', headers: { authorization: 'AWS4-HMAC-SHA256 x' } })
    assert.equal(bad.status, 400)
    const large = await send(emulator, { method: 'PUT', path: '/b/k', body: Buffer.alloc((64 << 20) + 1) })
    assert.equal(large.status, 413)
  })
})
