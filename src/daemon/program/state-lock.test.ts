import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { isFault } from '#base/errors'
import { lockState } from './state-lock.ts'

const module = JSON.stringify(new URL('./state-lock.ts', import.meta.url))
/** Locks the folder, starts a child as workers are started, and stays. */
const script = `import { spawn } from 'node:child_process'
  import { lockState } from ${module}
  lockState(process.argv[1])
  console.log(spawn('sleep', ['60'], { stdio: 'ignore' }).pid)`

test('a state folder is of one process, until that ends, killed or not, and nothing is left in it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tideway-state-'))
  const node = ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script, folder]
  const first = spawn(process.execPath, node, {
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: import.meta.dirname,
  })
  const [child] = (await once(first.stdout.setEncoding('utf8'), 'data')) as [string]
  try {
    const refused = (error: unknown) =>
      isFault(error, 'CAPTURE_BUSY') &&
      error.message === `another daemon (pid ${first.pid}) runs with ${folder}`
    assert.throws(() => lockState(folder), refused)
    first.kill('SIGKILL')
    await once(first, 'exit')
    // What it had started lives on, and has no part in it.
    process.kill(Number(child), 0)
    {
      using _ = lockState(folder)
      assert.throws(() => lockState(folder), {
        message: `another daemon (pid ${process.pid}) runs with ${folder}`,
      })
    }
    lockState(folder)[Symbol.dispose]()
    assert.deepEqual(readdirSync(folder), [])
  } finally {
    process.kill(Number(child), 'SIGKILL')
    rmSync(folder, { recursive: true })
  }
})
