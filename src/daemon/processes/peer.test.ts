import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { test } from 'node:test'
import { openTestClock, systemClock } from '#base/clock'
import { Fault, isFault } from '#base/errors'
import { openPeer, type Endpoint, type Protocol } from './index.ts'

type Arithmetic = {
  add: { request: { a: number; b: number }; response: number }
  fail: { request: void; response: void }
}

/** Two ends of a channel in one process, with messages copied as between processes. */
function openChannel(): [Endpoint & EventEmitter, Endpoint & EventEmitter] {
  const ends = [0, 1].map((): EventEmitter & { connected: boolean; send: Endpoint['send'] } =>
    Object.assign(new EventEmitter(), { connected: true, send: undefined }),
  )
  ends.forEach((end, index) => {
    end.send = (message, callback) => {
      const copy = structuredClone(message)
      setImmediate(() => ends[1 - index]!.emit('message', copy))
      callback(null)
      return true
    }
  })
  return ends as unknown as [Endpoint & EventEmitter, Endpoint & EventEmitter]
}

function openPair(clock = systemClock, answering = true) {
  const [here, there] = openChannel()
  const caller = openPeer<Arithmetic, Protocol>({
    endpoint: here,
    answers: {},
    clock,
    timeoutMs: 500,
    maxPending: 2,
  })
  if (answering) {
    openPeer<Protocol, Arithmetic>({
      endpoint: there,
      answers: {
        add: ({ a, b }) => a + b,
        fail() {
          throw new Fault('ATTESTATION_FAILED', 'process 7 has gone', { hint: 'try another' })
        },
      },
      clock,
      timeoutMs: 500,
    })
  }
  return { caller, here }
}

test('a call gets its own answer, also when several wait', async () => {
  const { caller } = openPair()
  const answers = await Promise.all([caller.call('add', { a: 1, b: 2 }), caller.call('add', { a: 5, b: 5 })])
  assert.deepEqual(answers, [3, 10])
})

test('a fault arrives as what it was', async () => {
  const { caller } = openPair()
  await assert.rejects(caller.call('fail', undefined), (error) => {
    assert.ok(isFault(error, 'ATTESTATION_FAILED'))
    assert.equal(error.message, 'process 7 has gone')
    assert.equal(error.hint, 'try another')
    return true
  })
})

test('names that every object has are no methods', async () => {
  const { caller } = openPair()
  const other = caller as unknown as { call(method: string): Promise<unknown> }
  await assert.rejects(other.call('constructor'), /no method constructor/)
})

test('a silent peer, a closed channel and too many calls are faults', async () => {
  const clock = openTestClock()
  const { caller, here } = openPair(clock, false)
  const isUnreachable = (error: unknown) => isFault(error, 'DAEMON_UNREACHABLE')
  const silent = assert.rejects(caller.call('add', { a: 1, b: 1 }, { timeoutMs: 100 }), isUnreachable)
  const cutOff = assert.rejects(caller.call('add', { a: 1, b: 1 }), isUnreachable)
  await assert.rejects(caller.call('add', { a: 1, b: 1 }), /2 calls wait/)
  await clock.untilArmed(2)
  await clock.advance(100)
  await silent
  here.emit('disconnect')
  await cutOff
})

test('an answer that has come by the time the limit is noticed counts', async () => {
  const clock = openTestClock()
  const { caller, here } = openPair(clock, false)
  const sum = caller.call('add', { a: 1, b: 2 })
  setImmediate(() => here.emit('message', { answer: 1, response: 3 }))
  await clock.advance(500)
  assert.equal(await sum, 3)
})
