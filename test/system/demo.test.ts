// The demo as a user runs it: what it prints is what the README shows, and nothing of it stays.
import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { allocateMemory, syscall } from '#base/syscall'
import { cgroupMount } from '#daemon/capture'

const repository = path.resolve(import.meta.dirname, '../..')
const nobody = 65_534
const limit = { timeout: 240_000 }

/** What differs from run to run and from machine to machine. */
const variable: readonly (readonly [RegExp, string])[] = [
  [/ASIA[A-Z2-7]{16}/g, 'ASIA'],
  [/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME'],
  [/\(pid \d+ [^)]+\)/g, '(pid)'],
  [/attest \d+/g, 'attest PID'],
  [/\b\d+ (ms|s|requests|bytes|in)\b/g, 'N $1'],
  [/a (Python script \(urllib\)|Node\.js script \(fetch\))/g, 'a script'],
  [/(process:binary:path) .*/g, '$1'],
  [/(?<=\S) +/g, ' '],
]

function normalise(line: string): string {
  return variable
    .reduce((text, [pattern, replacement]) => text.replaceAll(pattern, replacement), line)
    .trimEnd()
}

/** The README's transcript, line by line, without the lines that stand for others. */
function readTranscript(): readonly string[] {
  const readme = readFileSync(path.join(repository, 'README.md'), 'utf8')
  const block = /<!-- transcript[^>]*-->\s*```text\n([^]*?)```\s*<!-- end of the transcript -->/.exec(
    readme,
  )?.[1]
  assert.ok(block, 'the README has a transcript between its markers')
  return block.split('\n').filter((line) => !/^\s*(\.\.\.)?$/.test(line))
}

/** Fails unless `output` has these lines in this order; one that ends in `...` need only begin so. */
function assertFollows(output: string, expected: readonly string[]): void {
  const lines = output.split('\n').map(normalise)
  let at = 0
  for (const line of expected) {
    const open = line.endsWith('...')
    const wanted = normalise(open ? line.slice(0, -3) : line)
    const found = lines.findIndex(
      (candidate, index) => index >= at && (open ? candidate.startsWith(wanted) : candidate === wanted),
    )
    assert.ok(found >= 0, `the demo does not print ${JSON.stringify(wanted)} where it should:\n${output}`)
    at = found + 1
  }
}

const kernelObjects = { programs: 11, maps: 12, links: 31 } // BPF_*_GET_NEXT_ID

/** Every BPF object in the kernel: `links 7`. */
function bpfObjects(): Set<string> {
  const memory = allocateMemory(64)
  const found = new Set<string>()
  for (const [name, command] of Object.entries(kernelObjects)) {
    for (let id = 0; ;) {
      memory.bytes.fill(0)
      memory.bytes.writeUInt32LE(id, 0)
      if (syscall('bpf', command, memory.address, 12) !== 0) break
      id = memory.bytes.readUInt32LE(4)
      found.add(`${name} ${id}`)
    }
  }
  return found
}

/** Files below /proc/PID of every process that hold `text`: those that run with it, and those that see it mounted. */
function mentions(text: string): readonly string[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry) && Number(entry) !== process.pid)
    .flatMap((pid) => ['cmdline', 'environ', 'mountinfo'].map((file) => `/proc/${pid}/${file}`))
    .filter((file) => {
      try {
        return readFileSync(file, 'latin1').includes(text)
      } catch {
        return false
      }
    })
}

interface Demo {
  readonly child: ChildProcess
  output(): string
  /** Resolves when the output holds `text`; fails when it ends before. */
  until(text: string): Promise<void>
  /** Waits for the end, gives the exit code, and fails if anything of it is left. */
  end(): Promise<number | null>
}

/** Starts the demo in a temporary folder of its own, in which it puts everything that it makes. */
function startDemo(uid: number): Demo {
  const folder = mkdtempSync(path.join(tmpdir(), 'tideway-test-'))
  const home = path.join(folder, 'home')
  mkdirSync(home)
  chmodSync(folder, 0o755)
  for (const own of [folder, home]) chownSync(own, uid, uid)
  const before = bpfObjects()
  const user = [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups']
  const child = spawn('setpriv', [...user, '--', path.join(repository, 'bin/tideway'), 'dev', '--demo'], {
    cwd: repository,
    env: { PATH: process.env['PATH'], HOME: home, TMPDIR: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true, // a process group of its own, as on a terminal
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  const ended = once(child, 'close') as Promise<[number | null]>

  return {
    child,
    output: () => output,
    async until(text) {
      while (!output.includes(text)) {
        const more = await Promise.race([once(child.stdout, 'data'), ended.then(() => undefined)])
        assert.ok(more || output.includes(text), `the demo ended before ${JSON.stringify(text)}:\n${output}`)
      }
    },
    async end() {
      const [code] = await ended
      assert.deepEqual(mentions(folder), [], 'a process or mount is left')
      rmSync(home, { recursive: true })
      assert.deepEqual(readdirSync(folder), [], 'a file is left')
      rmdirSync(folder)
      const groups = [...output.matchAll(/tideway-demo-\w+/g)].map(([name]) => name)
      const left = readdirSync(cgroupMount()).filter((name) => groups.includes(name))
      assert.deepEqual(left, [], 'a cgroup is left')
      await untilGone(before)
      return code
    },
  }
}

/**
 * The kernel frees BPF objects a moment after their last user has gone. What another program has loaded meanwhile
 * cannot be told from ours, so it is waited for as well.
 */
async function untilGone(before: ReadonlySet<string>): Promise<void> {
  const made = bpfObjects().difference(before)
  const deadline = performance.now() + 60_000
  for (;;) {
    const left = made.intersection(bpfObjects())
    if (left.size === 0) return
    assert.ok(performance.now() < deadline, `BPF objects are left: ${[...left].join(', ')}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

test('as root the demo prints what the README shows, and leaves nothing', limit, async () => {
  const demo = startDemo(0)
  assert.equal(await demo.end(), 0, demo.output())
  assertFollows(demo.output(), readTranscript())
})

test('as an ordinary user the same expectations hold, and nothing is left', limit, async () => {
  const demo = startDemo(nobody)
  assert.equal(await demo.end(), 0, demo.output())
  assert.match(demo.output(), /^capture level: (workload|user)$/m)
  assertFollows(
    demo.output(),
    readTranscript().filter((line) => /^ +ok: |^Every expectation held/.test(line)),
  )
})

for (const [who, uid] of [
  ['root', 0],
  ['an ordinary user', nobody],
] as const) {
  for (const step of ['joining this node', 'ok: its request was signed', 'requests meanwhile']) {
    test(`Ctrl-C of ${who} at "${step}" ends the demo and leaves nothing`, limit, async () => {
      const demo = startDemo(uid)
      await demo.until(step)
      process.kill(-demo.child.pid!, 'SIGINT')
      assert.equal(await demo.end(), 130, demo.output())
    })
  }
}
