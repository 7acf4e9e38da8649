import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { openCliBed, serviceManifest, type CliBed, type Outcome } from './fixture.ts'

const root = resolve(import.meta.dirname, '../../..')
const launcher = join(root, 'bin/tideway')
const path = '/usr/local/bin:/usr/bin:/bin'

/** Starts a program; `outcome` resolves when it has ended. */
function start(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const child = spawn(command, args, { cwd: root, env: { PATH: path, HOME: '/nonexistent', ...env } })
  const seen = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (seen.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (seen.stderr += text))
  const outcome = once(child, 'close').then(([code]): Outcome => ({ code: code as number, ...seen }))
  return { child, outcome }
}

async function run(
  command: string,
  args: readonly string[],
  { env = {}, input = '' }: { env?: NodeJS.ProcessEnv; input?: string } = {},
): Promise<Outcome> {
  const { child, outcome } = start(command, args, env)
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  return await outcome
}

describe('the program as a process', () => {
  let bed: CliBed
  before(async () => {
    bed = await openCliBed()
  })
  after(() => bed[Symbol.asyncDispose]())
  const env = () => ({ TIDEWAY_CONTEXTS: bed.contexts })

  test("the guides' commands run as printed, under the name riptides-cli", async () => {
    const npx = (args: string) => `npx --no-install riptides-cli ${args}`
    const shell = (line: string) => run('/bin/sh', ['-c', line], { env: { ...env(), HOME: bed.folder } })
    const guide = 'test/guides/secretless-aws.yaml'
    const applied = await shell(`cat ${guide} | ${npx('ctl apply -f -')}`)
    assert.equal(applied.code, 0, applied.stderr)
    assert.equal(applied.stdout.match(/ created\n/g)!.length, 5)
    const daemons = await shell(npx('ctl get daemons'))
    assert.match(daemons.stderr, /No resources found/)
    const name = await shell(npx("ctl get workloadidentity my-app-workload -o jsonpath='{.spec.workloadID}'"))
    assert.equal(name.stdout, 'my-app/workload\n')
    const described = await shell(npx('ctl describe credentialsource bedrock-agent-aws'))
    assert.match(described.stdout, /^STATE: +(PENDING|AVAILABLE|FAILED)$/m)
    const deleted = await shell(`${npx('ctl delete -f -')} < ${guide}`)
    assert.equal(deleted.stdout.match(/ deleted\n/g)!.length, 5)
  })

  test('a reader that goes away ends it quietly', async () => {
    const manifests = Array.from({ length: 40 }, (_, index) => serviceManifest(`many-${index}`))
    await bed.run(['ctl', 'apply', '-f', '-'], { input: manifests.join('---\n') })
    const line = `{ "${launcher}" ctl get svc -o json; echo "ended with $?" >&2; } | head -n 1`
    const { stdout, stderr } = await run('/bin/sh', ['-c', line], { env: env() })
    assert.deepEqual([stdout, stderr], ['{\n', 'ended with 0\n'])
  })

  test('standard output that takes nothing is a fault in a sentence', async () => {
    const { code, stderr } = await run('/bin/sh', ['-c', `exec "${launcher}" version > /dev/full`])
    assert.equal(code, 2)
    assert.match(stderr, /^error: standard output cannot be written: .*ENOSPC.*\nhint: make room/)
    assert.doesNotMatch(stderr, /\n\s+at /)
  })

  test('Ctrl-C ends it while it waits for standard input', async () => {
    const { child, outcome } = start(launcher, ['ctl', 'apply', '-f', '-'], env())
    // It has begun to read once a large write has been taken.
    child.stdin.write(`# ${'x'.repeat(1 << 20)}\n`, () => child.kill('SIGINT'))
    child.stdin.on('error', () => {})
    assert.deepEqual(await outcome, { code: 130, stdout: '', stderr: 'stopped by SIGINT\n' })
  })
})

describe('tideway run', () => {
  let folder: string
  const stack = new AsyncDisposableStack()
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tideway-run-test-'))
    stack.defer(() => rm(folder, { recursive: true }))
    const facts = {
      level: 'user',
      detail: 'a test',
      connectSocket: join(folder, 'connect.sock'),
      proxy: { host: '127.0.0.1', port: 1 },
      trustBundle: '/bundle.crt',
      ports: [],
      overriddenHosts: [],
    }
    const daemon = createServer((_request, response) => response.end(JSON.stringify(facts)))
    daemon.listen(join(folder, 'daemon.sock'))
    await once(daemon, 'listening')
    stack.defer(async () => void daemon.close())
  })
  after(() => stack.disposeAsync())

  const args = (...command: string[]) => ['run', '--mode=proxy', `--run-dir=${folder}`, '--', ...command]

  test("the command's exit code, streams and environment are its own", async () => {
    const { code, stdout, stderr } = await run(
      launcher,
      args('sh', '-c', 'cat; echo "$HTTPS_PROXY $SSL_CERT_FILE $1" >&2; exit 7', 'sh', '--help'),
      { input: 'in' },
    )
    assert.deepEqual(
      { code, stdout, stderr },
      { code: 7, stdout: 'in', stderr: 'http://127.0.0.1:1 /bundle.crt --help\n' },
    )
  })

  test('what was to go around another proxy does not go around the daemon', async () => {
    const env = { HTTPS_PROXY: 'http://old:1', NO_PROXY: '.amazonaws.com', no_proxy: '*' }
    const { stdout } = await run(launcher, args('sh', '-c', 'echo "$HTTPS_PROXY:$NO_PROXY:$no_proxy"'), {
      env,
    })
    assert.equal(stdout, 'http://127.0.0.1:1::\n')
  })

  test('a command that a signal ended counts as shells count it', async () => {
    assert.equal((await run(launcher, args('sh', '-c', 'kill -KILL $$'))).code, 137)
  })

  test('a command that is not there or cannot be executed: 127 and 126, with the reason', async () => {
    const missing = await run(launcher, args('no-such-command'))
    assert.deepEqual(missing, {
      code: 127,
      stdout: '',
      stderr: 'tideway run: no-such-command: command not found\n',
    })
    const file = join(folder, 'not-executable')
    await writeFile(file, '#!/bin/sh\n', { mode: 0o600 })
    const refused = await run(launcher, args(file))
    assert.equal(refused.code, 126)
    assert.match(refused.stderr, /^tideway run: .*not-executable: spawn .* EACCES\n$/)
  })

  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    test(`${signal} goes to the command, which decides what becomes of it`, async () => {
      const trap = `trap 'echo caught; exit 5' ${signal.slice(3)}; echo ready; while :; do sleep 0.05; done`
      const { child, outcome } = start(launcher, args('sh', '-c', trap))
      child.stdout.once('data', () => child.kill(signal))
      assert.deepEqual(await outcome, { code: 5, stdout: 'ready\ncaught\n', stderr: '' })
    })
  }
})

describe('the launcher', () => {
  let folder: string
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tideway-launcher-'))
  })
  after(() => rm(folder, { recursive: true }))

  test('starts through links, relative and absolute, from any folder', async () => {
    await mkdir(join(folder, 'node_modules/.bin'), { recursive: true })
    await symlink(launcher, join(folder, 'absolute'))
    await symlink('../../absolute', join(folder, 'node_modules/.bin/tideway'))
    const outcome = await run('/bin/sh', ['-c', `cd / && "${folder}/node_modules/.bin/tideway" version`])
    assert.equal(outcome.code, 0)
    assert.match(outcome.stdout, /^tideway \d/)
  })

  test('starts in a folder whose name has spaces', async () => {
    await mkdir(join(folder, 'a b'))
    for (const name of ['bin', 'src', 'node_modules', 'package.json'])
      await symlink(join(root, name), join(folder, 'a b', name))
    const outcome = await run(join(folder, 'a b/bin/tideway'), ['version'])
    assert.equal(outcome.code, 0, outcome.stderr)
  })

  test('ignores NODE_OPTIONS, which could load foreign code into a process that holds credentials', async () => {
    await writeFile(join(folder, 'foreign.cjs'), "process.stderr.write('foreign code ran\\n')")
    const env = { NODE_OPTIONS: `--require ${join(folder, 'foreign.cjs')}` }
    const outcome = await run(launcher, ['version'], { env })
    assert.deepEqual([outcome.code, outcome.stderr], [0, ''])
  })

  test('says in one sentence that its runtime is missing, and how to get it', async () => {
    await mkdir(join(folder, 'empty/bin'), { recursive: true })
    await copyFile(launcher, join(folder, 'empty/bin/tideway'))
    const { code, stderr } = await run(join(folder, 'empty/bin/tideway'), ['version'])
    assert.equal(code, 69)
    assert.match(
      stderr,
      /^tideway: its runtime is missing: run 'npm ci' in .*\/empty \(without --omit=optional\)\n$/,
    )
  })

  test('says in one sentence which machines it supports', async () => {
    const bin = join(folder, 'fake')
    await mkdir(bin)
    for (const [system, machine] of [
      ['Linux', 'riscv64'],
      ['Darwin', 'arm64'],
    ] as const) {
      await writeFile(join(bin, 'uname'), `#!/bin/sh\n[ "$1" = -s ] && echo ${system} || echo ${machine}\n`)
      await chmod(join(bin, 'uname'), 0o755)
      const { code, stderr } = await run(launcher, ['version'], { env: { PATH: `${bin}:${path}` } })
      assert.equal(code, 69)
      assert.equal(
        stderr,
        `tideway: ${system} on ${machine} is not supported: Linux on x86_64 or aarch64 is needed\n`,
      )
    }
  })

  test('is plain POSIX shell', async () => {
    assert.match(await readFile(launcher, 'utf8'), /^#!\/bin\/sh\n/)
    assert.equal(spawnSync('/bin/sh', ['-n', launcher]).status, 0)
  })
})
