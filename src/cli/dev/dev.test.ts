import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test, type TestContext } from 'node:test'
import { loadContexts, saveContext } from '#cli/context'

const root = resolve(import.meta.dirname, '../../..')
const launcher = join(root, 'bin/tideway')
const nobody = 65_534
const asRoot = process.getuid!() === 0
/** Whether the other user can run this checkout at all: root's home, for one, is closed to everybody else. */
const isOpen =
  asRoot &&
  spawnSync('setpriv', [`--reuid=${nobody}`, '--clear-groups', '--', 'test', '-x', launcher]).status === 0

interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A folder of a user's own, in which development stacks are started. */
function openHome(context: TestContext, { uid }: { uid?: number } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'tideway-dev-'))
  context.after(() => rmSync(folder, { recursive: true, force: true }))
  chmodSync(folder, 0o755)
  if (uid !== undefined) chownSync(folder, uid, uid)
  const contexts = join(folder, 'contexts.yaml')
  const stateDir = join(folder, 'stack')
  const env = { PATH: '/usr/local/bin:/usr/bin:/bin', HOME: folder, TIDEWAY_CONTEXTS: contexts }

  function start(command: string, args: readonly string[]) {
    const prefix =
      uid === undefined ? [] : ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--']
    const [program, ...rest] = [...prefix, command, ...args]
    const child = spawn(program!, rest, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] })
    const seen = { stdout: '', stderr: '' }
    child.stdout.setEncoding('utf8').on('data', (text: string) => (seen.stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (seen.stderr += text))
    const outcome = once(child, 'close').then(([code]): Outcome => ({ code: code as number | null, ...seen }))
    return { child, outcome }
  }

  /** Starts `tideway dev` and resolves when it has printed what to try. */
  async function dev(...args: string[]) {
    const { child, outcome } = start(launcher, ['dev', `--state-dir=${stateDir}`, ...args])
    context.after(() => void child.kill('SIGINT'))
    let printed = ''
    const ready = new Promise<void>((done) => {
      child.stdout.on('data', (text: string) => {
        printed += text
        if (printed.includes('keys list\n')) done()
      })
    })
    const ended = outcome.then((early) => Promise.reject(new Error(`ended early: ${early.stderr}`)))
    await Promise.race([ready, ended])
    ended.catch(() => {})
    return {
      child,
      commands: [...printed.matchAll(/^ {2}npx tideway (.*)$/gm)].map(([, line]) => line!),
      async stop(): Promise<Outcome> {
        child.kill('SIGINT')
        return await outcome
      },
    }
  }

  /** Processes that have to do with this folder. */
  const processes = () =>
    readdirSync('/proc').filter((entry) => {
      if (!/^\d+$/.test(entry)) return false
      try {
        return readFileSync(`/proc/${entry}/cmdline`, 'utf8').includes(`${stateDir}/`)
      } catch {
        return false
      }
    })
  const run = (line: string) => start('/bin/sh', ['-c', `exec "${launcher}" ${line}`]).outcome
  return { folder, contexts, stateDir, dev, run, processes }
}

const users: [who: string, uid: number | undefined][] = asRoot
  ? [['root', undefined], ...(isOpen ? [['an ordinary user', nobody] as [string, number]] : [])]
  : [['an ordinary user', undefined]]

for (const [who, uid] of users) {
  test(`what tideway dev prints to try works as ${who}, and Ctrl-C leaves nothing behind`, async (context) => {
    const home = openHome(context, uid === undefined ? {} : { uid })
    saveContext(
      home.contexts,
      { name: 'mine', server: 'https://mine.example', token: 't' },
      { makeCurrent: true },
    )
    if (uid !== undefined) chownSync(home.contexts, uid, uid)
    const stack = await home.dev()
    assert.equal(stack.commands.length, 6)
    for (const line of stack.commands) {
      // The one that follows goes on until it is stopped.
      const once = line.replace(/ -f$/, '')
      if (line.startsWith('run ')) {
        const ready = await home.run('ctl wait cb/bedrock-agent-binding --for OK')
        assert.equal(ready.code, 0, ready.stderr)
      }
      const { code, stdout, stderr } = await home.run(once)
      assert.equal(code, 0, `${line}: ${stdout}${stderr}`)
      if (line.startsWith('run ')) assert.match(stdout, /^200 /)
    }
    assert.match(
      (await home.run('ctl get daemons')).stdout,
      /CONNECT-TO\n.* sts\.amazonaws\.com:443=127\.0\.0\.1:/,
    )

    const second = await home.run(`dev --state-dir=${home.stateDir}`)
    assert.equal(second.code, 2)
    assert.match(
      second.stderr,
      /^error: another 'tideway dev' runs with .*\nhint: stop it, or name another folder/,
    )

    const { code, stderr } = await stack.stop()
    assert.equal(code, 0, stderr)
    assert.deepEqual(home.processes(), [])
    const { current, contexts } = loadContexts(home.contexts)
    assert.deepEqual([current, contexts.map(({ name }) => name)], ['mine', ['mine']])
  })
}

test('a stack that was killed is cleared away by the next one', async (context) => {
  const home = openHome(context)
  const first = await home.dev()
  first.child.kill('SIGKILL')
  await once(first.child, 'close')
  assert.notDeepEqual(home.processes(), [])
  const second = await home.dev()
  assert.equal((await home.run('ctl get daemons -o name')).stdout, 'daemon.core.riptides.io/this-node\n')
  assert.equal((await second.stop()).code, 0)
  assert.deepEqual(home.processes(), [])
})

test('a folder that holds something else is left alone, and a CA that is none is refused', async (context) => {
  const home = openHome(context)
  writeFileSync(join(home.folder, 'letter'), 'dear')
  const taken = await home.run(`dev --state-dir=${home.folder}`)
  assert.equal(taken.code, 2)
  assert.match(taken.stderr, /holds something else than a development stack\nhint: name an empty folder/)
  assert.equal(readFileSync(join(home.folder, 'letter'), 'utf8'), 'dear')
  const ca = await home.run(`dev --state-dir=${home.stateDir} --upstream-ca=${home.folder}/letter`)
  assert.equal(ca.code, 2)
  assert.match(ca.stderr, /^error: --upstream-ca .*letter: /)
})
