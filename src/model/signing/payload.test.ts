import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Framing } from '#wire/http1'
import { decidePayload, emptyPayloadHash } from './index.ts'

const bufferLimit = 100
const none: Framing = { kind: 'none' }
const chunked: Framing = { kind: 'chunked' }
const declaredHash = 'a'.repeat(64)

function ofLength(bytes: number): Framing {
  return { kind: 'length', bytes }
}

function decide(service: string, framing: Framing, declared?: string) {
  const headers = declared === undefined ? [] : [{ name: 'x-amz-content-sha256', value: declared }]
  return decidePayload(headers, framing, service, { bufferLimit })
}

test('a hash that the client declared is kept, whatever the body', () => {
  for (const framing of [none, ofLength(101), chunked]) {
    for (const service of ['s3', 'ssm']) {
      assert.deepEqual(decide(service, framing, declaredHash), { mode: 'declared-hash', hash: declaredHash })
    }
  }
})

test('no body needs no reading', () => {
  assert.deepEqual(decide('ssm', none), { mode: 'declared-hash', hash: emptyPayloadHash })
  assert.deepEqual(decide('s3', ofLength(0)), { mode: 'declared-hash', hash: emptyPayloadHash })
})

test('a body that fits is hashed, up to the limit and not beyond', () => {
  assert.equal(decide('ssm', ofLength(100)).mode, 'buffer')
  assert.equal(decide('s3', ofLength(100)).mode, 'buffer')
  assert.equal(decide('ssm', ofLength(101)).mode, 'refuse')
  assert.equal(decide('s3', ofLength(101)).mode, 'unsigned')
})

test('a body of unknown length is read up to the limit, for S3 streamed unsigned', () => {
  const decision = decide('ssm', chunked)
  assert.equal(decision.mode, 'buffer')
  assert.match(decision.mode === 'buffer' ? decision.overflow : '', /exceeds 100 bytes.*x-amz-content-sha256/)
  assert.equal(decide('s3', chunked).mode, 'unsigned')
})

test('UNSIGNED-PAYLOAD is honoured where it is verified, and elsewhere made a real hash', () => {
  assert.equal(decide('s3', ofLength(5), 'UNSIGNED-PAYLOAD').mode, 'unsigned')
  assert.equal(decide('vpc-lattice-svcs', ofLength(5)).mode, 'unsigned')
  assert.equal(decide('ssm', ofLength(5), 'UNSIGNED-PAYLOAD').mode, 'buffer')
  assert.equal(decide('ssm', ofLength(101), 'UNSIGNED-PAYLOAD').mode, 'refuse')
})

test('streaming modes are refused with the ways out', () => {
  for (const mode of ['STREAMING-UNSIGNED-PAYLOAD-TRAILER', 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD']) {
    const decision = decide('s3', ofLength(5), mode)
    assert.equal(decision.mode, 'refuse')
    assert.match(
      decision.mode === 'refuse' ? decision.reason : '',
      /AWS_REQUEST_CHECKSUM_CALCULATION=when_required/,
    )
  }
})

test('what is no payload mode, or two of them, is refused', () => {
  for (const value of ['', 'x', 'A'.repeat(64), 'unsigned-payload', `${declaredHash}, ${declaredHash}`]) {
    assert.equal(decide('s3', ofLength(5), value).mode, 'refuse', value)
  }
  const header = { name: 'x-amz-content-sha256', value: declaredHash }
  assert.equal(decidePayload([header, header], none, 's3', { bufferLimit }).mode, 'refuse')
})
