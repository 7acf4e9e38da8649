import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { loadContexts } from '#cli/context'
import { runLine } from './fixture.ts'

test("a new server leaves another one's administrator in its context, and says which its own is", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'tideway-servers-'))
  t.after(() => rm(folder, { recursive: true }))
  const contexts = join(folder, 'contexts.yaml')
  /** Starts a server on a data folder, stops it once it serves, and gives what it said. */
  async function start(data: string): Promise<string> {
    const stop = new AbortController()
    const ports = ['--listen', '--node-listen', '--health-listen'].map((option) => `${option}=127.0.0.1:0`)
    const { stderr } = await runLine(['server', `--data-dir=${join(folder, data)}`, ...ports], {
      env: { TIDEWAY_CONTEXTS: contexts },
      signal: stop.signal,
      onSay: (text) => text.startsWith('the control plane answers') && stop.abort(new Error('enough')),
    })
    return stderr
  }
  assert.match(
    await start('first'),
    /is in .*contexts\.yaml, as context "default"; .*\n.*--reset-admin-token/,
  )
  const before = loadContexts(contexts).contexts
  const said = await start('second')
  assert.match(said, /^context "default" is another server's and stays as it is\n.*as context "default-2"/)
  const { contexts: after, current } = loadContexts(contexts)
  assert.deepEqual(after.slice(0, 1), before)
  assert.deepEqual([after.length, current], [2, 'default-2'])
})
