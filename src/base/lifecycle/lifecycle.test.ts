import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import process from 'node:process'
import { createInterface } from 'node:readline'
import { test } from 'node:test'

/** A program that tells of its start and of the signal, and tidies up until its standard input ends. */
const program = `
  import { once } from 'node:events'
  import { runProgram, untilAborted } from '#base/lifecycle'
  await runProgram(async ({ signal }) => {
    const ended = once(process.stdin.resume(), 'end')
    console.log('started')
    await untilAborted(signal)
    console.log('stopping')
    await ended
    console.log('tidied up')
  })
  process.exit()`

function start() {
  const args = ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', program]
  const child = spawn(process.execPath, args, {
    cwd: import.meta.dirname,
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  return { child, line: async () => ((await lines.next()) as { value?: string }).value }
}

test('a signal that comes twice at once, as from timeout, is one: the program tidies up', async () => {
  const { child, line } = start()
  assert.equal(await line(), 'started')
  child.kill('SIGTERM')
  child.kill('SIGINT')
  assert.equal(await line(), 'stopping')
  child.stdin.end()
  assert.equal(await line(), 'tidied up')
})

test('who insists ends the program at once', async () => {
  const { child, line } = start()
  assert.equal(await line(), 'started')
  child.kill('SIGINT')
  assert.equal(await line(), 'stopping')
  const again = setInterval(() => child.kill('SIGINT'), 50)
  assert.deepEqual(await once(child, 'exit'), [130, null])
  clearInterval(again)
})
