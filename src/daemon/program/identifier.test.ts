import assert from 'node:assert/strict'
import process from 'node:process'
import { test } from 'node:test'
import { openTestClock } from '#base/clock'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Fault, isFault } from '#base/errors'
import { processPinOf, type CapturedProcess, type ConnectionOrigin } from '#daemon/capture'
import type { ProcessPin } from '#model/identity'
import { applyScopeUpdate, emptyScope } from '#model/scope'
import { scopeWith } from './fixture.ts'
import { openIdentifier } from './identifier.ts'
import type { JudgeRequest, Judgement } from './worker-protocol.ts'

const scope = applyScopeUpdate(emptyScope, scopeWith(1, { 'process:uid': ['0'] }, { host: 'example.org' }))
const own = processPinOf(process.pid)!

function originOf(pin: ProcessPin, port = 443): ConnectionOrigin {
  const level = 'image' in pin ? 'process' : 'workload'
  return { level, process: pin, destination: { address: '10.0.0.1', port }, netnsCookie: 0n }
}

function open({
  judge,
  holds = () => true,
  seesCredentials = false,
}: {
  judge?: (request: JudgeRequest) => Judgement | Promise<Judgement>
  holds?: () => boolean
  seesCredentials?: boolean
} = {}) {
  const asked: JudgeRequest[] = []
  const alive = { main: true }
  const clock = openTestClock()
  const identifier = openIdentifier({
    async judge(request) {
      asked.push(request)
      return (
        judge?.(request) ?? { generation: 1, pin: request.process, identity: 'app', executable: '/bin/x' }
      )
    },
    capture: { verdictHolds: holds, seesCredentials },
    isMainAlive: () => alive.main,
    clock,
  })
  identifier.setPolicy(scope, 1)
  return { identifier, asked, alive, clock }
}

test('who waits for an answer when the main process falls silent is told so', async () => {
  const { identifier, alive, clock } = open({ judge: () => new Promise(() => {}) })
  const identified = assert.rejects(identifier.identify(originOf(own)), { code: 'DAEMON_UNREACHABLE' })
  await clock.advance(1_000)
  alive.main = false
  await clock.advance(1_000)
  await identified
})

test('a process is judged once for each port, also when its connections come together', async () => {
  const { identifier, asked } = open()
  const verdicts = await Promise.all([1, 2, 3].map(() => identifier.identify(originOf(own))))
  assert.ok(verdicts.every((verdict) => verdict.kind === 'identified' && verdict.identity.name === 'app'))
  assert.equal(asked.length, 1)
  await identifier.identify(originOf(own, 80))
  assert.equal(asked.length, 2)
})

test('a new policy is a new question', async () => {
  const { identifier, asked } = open()
  const origin = originOf(own)
  await identifier.identify(origin)
  assert.equal(identifier.stillHolds(origin), true)
  identifier.setPolicy(scope, 2)
  assert.equal(identifier.stillHolds(origin), false)
  await identifier.identify(originOf(own))
  assert.equal(asked.length, 2)
})

test('a change of the scope that leaves the policy alone asks nothing', async () => {
  const { identifier, asked } = open()
  await identifier.identify(originOf(own))
  identifier.setPolicy(scope, 1)
  await identifier.identify(originOf(own))
  assert.equal(asked.length, 1)
})

test('after an exec the open connection is judged anew, by what the process is now', async () => {
  const { identifier, asked } = open({
    judge: ({ fresh }) => ({
      generation: 1,
      pin: fresh ? { ...own, exeInode: own.exeInode + 1n } : own,
      ...(fresh && { identity: 'app' }),
      executable: '/bin/x',
    }),
  })
  const origin = originOf(own)
  assert.equal((await identifier.identify(origin)).kind, 'identified')
  assert.equal(identifier.stillHolds(origin), false)
  assert.equal((await identifier.identify(origin)).kind, 'stranger')
  assert.equal(identifier.stillHolds(origin), true)
  assert.deepEqual(
    asked.map(({ fresh }) => fresh),
    [true, false],
  )
})

test('a captured process holds by the word of the kernel, and only for its owner', async () => {
  const kernel = { holds: true }
  const { identifier } = open({ holds: () => kernel.holds })
  const captured: CapturedProcess = {
    ...own,
    image: 1n,
    effectiveUid: process.geteuid!(),
    effectiveGid: process.getegid!(),
  }
  const origin = originOf(captured)
  await identifier.identify(origin)
  assert.equal(identifier.stillHolds(origin), true)
  kernel.holds = false
  await nextTurn()
  assert.equal(identifier.stillHolds(origin), false)
  kernel.holds = true
  const changed = originOf({ ...captured, effectiveUid: 12_345 } as CapturedProcess)
  await identifier.identify(changed)
  assert.equal(identifier.stillHolds(changed), false, 'its owner has changed since it connected')
})

test('a process is looked at once in each turn of the event loop, and always for a new policy', async () => {
  let looks = 0
  const { identifier } = open({ holds: () => (looks += 1) > 0, seesCredentials: true })
  const origin = originOf({ ...own, image: 1n, effectiveUid: 1, effectiveGid: 1 } as CapturedProcess)
  await identifier.identify(origin)
  assert.deepEqual([identifier.stillHolds(origin), identifier.stillHolds(origin), looks], [true, true, 1])
  await nextTurn()
  assert.deepEqual([identifier.stillHolds(origin), looks], [true, 2])
  identifier.setPolicy(scope, 2)
  assert.equal(identifier.stillHolds(origin), false)
})

test('without the main process nothing holds and nobody is identified', async () => {
  const { identifier, alive } = open()
  const origin = originOf(own)
  await identifier.identify(origin)
  alive.main = false
  assert.equal(identifier.stillHolds(origin), false)
  await assert.rejects(identifier.identify(originOf(own)), (error) => isFault(error, 'DAEMON_UNREACHABLE'))
})

test('a failed attestation is not remembered', async () => {
  let fails = true
  const { identifier } = open({
    judge({ process }) {
      if (fails) throw new Fault('ATTESTATION_FAILED', 'process has gone')
      return { generation: 1, pin: process, executable: '/bin/x' }
    },
  })
  await assert.rejects(identifier.identify(originOf(own)), (error) => isFault(error, 'ATTESTATION_FAILED'))
  fails = false
  assert.equal((await identifier.identify(originOf(own))).kind, 'stranger')
})
