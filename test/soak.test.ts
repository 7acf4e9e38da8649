import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { Books } from './soak/books.ts'
import { Disturbances } from './soak/disturbances.ts'
import { grownDescriptors, grownMemory, Trends } from './soak/vitals.ts'

// A soak that finds nothing says something only if it would have found it.

interface Kept {
  /** Lines of the emulator's access log. */
  readonly seen: readonly object[]
  /** Records of the audit trail. */
  readonly records?: readonly object[]
  /** Paths of requests that workloads got the answer to. */
  readonly answered?: readonly string[]
}

const call = (label: string) => `/agents/AGENT/agentAliases/${label}/sessions/1/text`
const request = (label: string, rest: object = {}) => ({
  service: 'bedrock-agent-runtime',
  action: 'InvokeAgent',
  path: call(label),
  status: 200,
  ...rest,
})
const as = (role: string) => ({
  principal: `arn:aws:sts::1:assumed-role/${role}/s`,
  accessKeyId: `ASIA${role}`,
})
const start = { type: 'request.start', decision: 'injected', method: 'POST', path: call('alpha') }

/** What the books say of it: what is broken, and what has no record. */
function audit({ seen, records = [], answered = [] }: Kept): string[] {
  const folder = mkdtempSync(path.join(tmpdir(), 'tideway-books-'))
  try {
    const [accessLog, auditFolder] = [path.join(folder, 'access'), path.join(folder, 'audit')]
    mkdirSync(auditFolder)
    const lines = (items: readonly object[]) => items.map((item) => `${JSON.stringify(item)}\n`).join('')
    writeFileSync(accessLog, lines(seen))
    writeFileSync(path.join(auditFolder, '0000000001.jsonl'), lines(records))
    const broken: string[] = []
    const onBroken = (what: string) => broken.push(what)
    const books = new Books({ accessLog, auditFolder, identities: new Set(['alpha', 'beta']), onBroken })
    books.read()
    for (const answeredPath of answered) books.answered('POST', answeredPath)
    return [...broken, ...books.unrecorded(), ...books.unequal()]
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test('what is as it should be is no finding', () => {
  const seen = [request('alpha', as('alpha')), request('stranger', { status: 403 })]
  assert.deepEqual(audit({ seen, records: [start], answered: [call('alpha')] }), [])
  assert.deepEqual(audit({ seen: [], records: [start] }), [], 'killed between record and request')
})

const findings: [name: string, kept: Kept, finding: RegExp][] = [
  ['a stranger who is signed for', { seen: [request('stranger', as('alpha'))] }, /signed for nobody/],
  ['a request signed as somebody else', { seen: [request('alpha', as('beta'))] }, /signed as .*beta/],
  ['an identified process that got by', { seen: [request('alpha', { status: 403 })] }, /got by unsigned/],
  [
    'a wrong signature',
    { seen: [request('alpha', { status: 403, accessKeyId: 'ASIA', reason: 'SignatureDoesNotMatch' })] },
    /a signature was refused/,
  ],
  ['a request without a record', { seen: [request('alpha', as('alpha'))] }, /^POST .*alpha/],
  [
    'a request that was sent twice',
    { seen: [request('alpha', as('alpha')), request('alpha', as('alpha'))], records: [start] },
    /saw it twice/,
  ],
  [
    'an answer to what the cloud has not seen',
    { seen: [], records: [start], answered: [call('alpha')] },
    /^POST .*alpha/,
  ],
  ['a request that was recorded twice', { seen: [], records: [start, start] }, /recorded twice/],
]

for (const [name, kept, finding] of findings) {
  test(`${name} is a finding`, () => {
    assert.match(audit(kept)[0] ?? 'nothing', finding)
  })
}

test('a failure is laid to what was out of order in its time, for those whom it concerns', () => {
  const disturbances = new Disturbances()
  disturbances.begin('way', 1_000)(2_000)
  assert.equal(disturbances.explains(0, 999, true), false)
  assert.equal(disturbances.explains(0, 1_000, true), true)
  assert.equal(disturbances.explains(1_500, 1_600, false), false, 'strangers do not pass the daemon')
  assert.equal(disturbances.explains(10_000, 11_000, true), false)
  disturbances.begin('front', 20_000)
  assert.equal(disturbances.explains(30_000, 30_001, false), true, 'it lasts')
})

test('memory and descriptors that grow are findings, and so is a process that nobody replaced', () => {
  const sample = (pid: number, rssMib: number, descriptors: number) => [
    { name: 'worker', pid, rssMib, descriptors },
  ]
  assert.deepEqual(grownMemory(sample(1, 100, 30), sample(1, 120, 90)), [])
  assert.match(grownMemory(sample(1, 100, 30), sample(1, 200, 30))[0]!, /100 MiB, and now 200 MiB/)
  assert.deepEqual(grownDescriptors(sample(1, 100, 30), sample(1, 900, 36)), [])
  assert.match(grownDescriptors(sample(1, 100, 30), sample(1, 100, 50))[0]!, /50 descriptors/)
  assert.match(grownDescriptors(sample(1, 100, 30), sample(2, 100, 30))[0]!, /is new/)
})

test('what grows slowly shows in its slope', () => {
  const trends = new Trends()
  for (let minute = 0; minute <= 30; minute += 1) {
    const worker = { name: 'worker', pid: 1, rssMib: 100 + minute / 2 + (minute % 2), descriptors: 30 }
    const brief = { name: 'brief', pid: 2, rssMib: 50, descriptors: 9 }
    trends.take(minute * 60_000, minute < 5 ? [worker, brief] : [worker])
  }
  const [told, ...others] = trends.told()
  assert.deepEqual(others, [], 'who has ended is not judged')
  assert.ok(Math.abs(told!.rssMibPerHour - 30) < 1)
  assert.equal(told!.descriptorsPerHour, 0)
  assert.equal(told!.minutes, 30)
})
