import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Command } from 'commander'
import { systemClock } from '#base/clock'
import { commands } from './all.ts'
import { runLine } from './fixture.ts'
import { versionText } from './version.ts'

const cli = {
  terminal: { print: () => {}, say: () => {} },
  env: {},
  clock: systemClock,
  signal: new AbortController().signal,
  readInput: async () => Buffer.alloc(0),
  setExitCode: () => {},
}

function pathsBelow(command: Command, path: readonly string[]): string[][] {
  return [[...path], ...command.commands.flatMap((child) => pathsBelow(child, [...path, child.name()]))]
}

test('every command explains itself', async () => {
  const trees = await Promise.all(
    commands.map(async ({ name, create }) => pathsBelow(await create(cli), [name])),
  )
  const paths = trees.flat()
  assert.ok(paths.length > 40, String(paths.length))
  for (const path of [[] as string[], ...paths]) {
    const { code, stdout, stderr } = await runLine([...path, '--help'])
    assert.deepEqual([code, stderr], [0, ''], path.join(' '))
    const [usage, , about = ''] = stdout.split('\n')
    assert.ok(usage!.startsWith(`Usage: ${['tideway', ...path].join(' ')}`), path.join(' '))
    assert.match(about, /^[A-Z][^.]{9,}/, path.join(' '))
  }
})

test('the same summary stands in the list and at the head of the command', async () => {
  const { stdout } = await runLine(['--help'])
  for (const { name } of commands) assert.match(stdout, new RegExp(`^  ${name} `, 'm'))
})

test('help is --help, of the program and of each command', async () => {
  for (const path of [[], ['ctl'], ['ctl', 'get']])
    assert.deepEqual(await runLine(['help', ...path]), await runLine([...path, '--help']))
})

test('version names program and runtime', async () => {
  const version = await runLine(['version'])
  assert.match(version.stdout, /^tideway \d+\.\d+\.\d+\nnode 26\.\d+\.\d+ \(linux \w+\)\n$/)
  assert.deepEqual(await runLine(['--version']), { code: 0, stdout: `${versionText()}\n`, stderr: '' })
})

const misuses: [line: string, message: RegExp][] = [
  ['', /^Usage: tideway/],
  ['ctl', /^Usage: tideway ctl/],
  ['nod', /^error: unknown command 'nod'\n\(Did you mean node\?\)\n\(run with --help for usage\)\n$/],
  ['ctl nope', /^error: unknown command 'nope'/],
  ['ctl get --nope', /^error: unknown option '--nope'/],
  ['context add', /required option '--url <URL>' not specified/],
  ['attest', /missing required argument 'PID'/],
  ['attest 0', /"0" is not a process id/],
  ['attest 1 -o yaml', /only json is known/],
  ['run', /missing required argument 'COMMAND'/],
  ['run --mode magic -- true', /'magic' is invalid\. Allowed choices are auto, kernel, namespaces, proxy/],
  ['server --listen nowhere', /^error: flag: listen: HOST:PORT is expected\n$/],
  ['server --svid-ttl-seconds 60', /svidTtlSeconds: .*at least 300/],
  ['daemon --capture maybe', /capture: one of auto, kernel, none/],
  ['emulator --settings /does/not/exist', /settings file \/does\/not\/exist: ENOENT/],
  ['server --data-dir /proc/tideway', /^error: --data-dir: ENOENT.*\nhint: name a folder that user/],
  ['server --data-dir /dev/null', /^error: --data-dir: EEXIST/],
  ['dev --state-dir /proc/tideway', /^error: --state-dir: ENOENT/],
  [
    'daemon --capture none --state-dir /does/not/exist',
    /^error: this node has not joined a server yet \(\/does\/not\/exist\)\nhint: give --server/,
  ],
  [
    'daemon --capture none --state-dir /does/not/exist --join-token-file /nosuch',
    /^error: --join-token-file: ENOENT.*\nhint: name a file that user/,
  ],
  [
    'daemon --capture none --state-dir /does/not/exist --upstream-ca /nosuch',
    /^error: --upstream-ca: ENOENT/,
  ],
  [
    `daemon --capture none --server https://localhost --join-token-file ${import.meta.filename} --run-dir /proc/x/y --state-dir /does/not/exist`,
    /^error: --run-dir: ENOENT/,
  ],
]
for (const [line, message] of misuses) {
  test(`misuse is told in a sentence or two, with exit code 2: tideway ${line}`, async () => {
    const { code, stdout, stderr } = await runLine(line.split(' ').filter(Boolean))
    assert.deepEqual([code, stdout], [2, ''])
    assert.match(stderr, message)
    assert.doesNotMatch(stderr, /\n\s+at /)
  })
}

test('without a context it says how to get one', async () => {
  const { code, stderr } = await runLine(['ctl', 'get', 'all'], {
    env: { TIDEWAY_CONTEXTS: '/does/not/exist' },
  })
  assert.equal(code, 2)
  assert.match(stderr, /^error: no context is set\nhint: start 'tideway dev' or 'tideway server'/)
})

for (const line of ['attest 1', 'capture status', 'trust bundle', 'trust check', 'run -- true']) {
  test(`without a daemon, tideway ${line} says where it looked, with exit code 75`, async () => {
    const [first, ...rest] = line.split(' ') as [string, ...string[]]
    const at = first === 'capture' || first === 'trust' ? rest.splice(0, 1) : []
    const { code, stdout, stderr } = await runLine([first, ...at, '--run-dir=/does/not/exist', ...rest])
    assert.deepEqual([code, stdout], [75, ''])
    assert.match(
      stderr,
      /^error: the daemon does not answer at \/does\/not\/exist\/daemon\.sock: .*\nhint: start it/,
    )
  })
}
