import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runLine } from './fixture.ts'
import { requireRoot } from './require-root.ts'

const skip = process.getuid!() !== 0 && 'only root releases'

test('capture release says where nothing was attached, and claims nothing more', { skip }, async () => {
  const { code, stdout } = await runLine(['capture', 'release', '--run-dir=/does/not/exist'])
  assert.equal(code, 0)
  assert.match(stdout, /^nothing was attached at \/does\/not\/exist-bpf: .* --run-dir\n$/)
})

test('what only root can do is refused to others in a sentence', () => {
  assert.throws(() => requireRoot('capture release', 1000), {
    code: 'SETTING_INVALID',
    message: 'capture release needs root',
    hint: 'run it with sudo',
  })
})
