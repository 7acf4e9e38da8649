import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Framing } from '#wire/http1'
import { decidePayload, emptyPayloadHash, type PayloadDecision } from './index.ts'
import type { NameValue } from './canonical.ts'

const bufferLimit = 100
const none: Framing = { kind: 'none' }
const chunked: Framing = { kind: 'chunked' }
const declaredHash = 'a'.repeat(64)

function ofLength(bytes: number): Framing {
  return { kind: 'length', bytes }
}

function decide(service: string, framing: Framing, declared?: string, query = '', regionSet?: string) {
  const headers = declared === undefined ? [] : [{ name: 'x-amz-content-sha256', value: declared }]
  const scope = { service, region: 'us-east-1', ...(regionSet !== undefined && { regionSet }) }
  return decidePayload({ headers, query, framing }, scope, { bufferLimit })
}

function reasonOf(decision: PayloadDecision): string {
  return decision.mode === 'refuse' ? decision.reason : decision.mode
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

test('each streaming mode keeps its word, and says what happens to the parts of the body', () => {
  for (const [word, parts] of [
    ['STREAMING-UNSIGNED-PAYLOAD-TRAILER', 'as-is'],
    ['STREAMING-AWS4-HMAC-SHA256-PAYLOAD', 'chunks'],
    ['STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER', 'chunks'],
  ] as const) {
    for (const framing of [ofLength(1e12), chunked]) {
      assert.deepEqual(decide('s3', framing, word), { mode: 'streaming', hash: word, parts })
    }
  }
})

test('chunks are signed by the algorithm that signs the head, or the request is refused', () => {
  const ofFour = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'
  const ofFourA = 'STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER'
  assert.equal(decide('s3', chunked, ofFourA, '', '*').mode, 'streaming')
  assert.match(reasonOf(decide('s3', chunked, ofFourA)), /does not go with the signature of this endpoint/)
  assert.match(
    reasonOf(decide('s3', chunked, ofFour, '', '*')),
    /does not go with the signature of this endpoint/,
  )
  assert.equal(decide('s3', chunked, 'STREAMING-UNSIGNED-PAYLOAD-TRAILER', '', '*').mode, 'streaming')
})

test('an event stream is signed message by message, whether the client signed it or not', () => {
  const hash = 'STREAMING-AWS4-HMAC-SHA256-EVENTS'
  const events = { mode: 'streaming', hash, parts: 'events' }
  assert.deepEqual(decide('transcribe', chunked, hash), events)
  const headers = [{ name: 'content-type', value: 'application/vnd.amazon.eventstream' }]
  const scope = { service: 'bedrock', region: 'us-east-1' }
  const bare = { headers, query: '', framing: chunked }
  assert.deepEqual(decidePayload(bare, scope, { bufferLimit }), events)
  assert.deepEqual(decide('transcribe', ofLength(5), hash), events)
})

test('a gRPC call of unknown length is not waited for where its body would have to be hashed', () => {
  const decideGrpc = (
    service: string,
    framing: Framing,
    type = 'application/grpc',
    more: NameValue[] = [],
  ) => {
    const headers = [{ name: 'content-type', value: type }, ...more]
    return decidePayload({ headers, query: '', framing }, { service, region: 'us-east-1' }, { bufferLimit })
  }
  for (const type of ['application/grpc', 'application/grpc+proto', 'application/grpc; charset=x']) {
    assert.match(
      reasonOf(decideGrpc('ssm', chunked, type)),
      /ssm verifies a hash .* x-amz-content-sha256, or its Content-Length; .* vpc-lattice-svcs$/,
    )
  }
  assert.equal(decideGrpc('vpc-lattice-svcs', chunked).mode, 'unsigned')
  assert.equal(decideGrpc('ssm', ofLength(5)).mode, 'buffer')
  const declared = { name: 'x-amz-content-sha256', value: declaredHash }
  assert.equal(decideGrpc('ssm', chunked, 'application/grpc', [declared]).mode, 'declared-hash')
  assert.equal(decideGrpc('ssm', chunked, 'application/grpc-web').mode, 'buffer', 'has one message')
})

test('a streaming mode that the service does not take is refused with the way out', () => {
  for (const [service, word] of [
    ['ssm', 'STREAMING-UNSIGNED-PAYLOAD-TRAILER'],
    ['glacier', 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'],
    ['s3', 'STREAMING-AWS4-HMAC-SHA256-EVENTS'],
  ] as const) {
    assert.match(reasonOf(decide(service, chunked, word)), /is not one that .* takes: declare the SHA-256/)
  }
  assert.match(reasonOf(decide('s3', chunked, 'STREAMING-SOMETHING-ELSE')), /is not known/)
})

test('the body of a presigned request to S3 is what its URL says, else unsigned', () => {
  const presigned = 'X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=s'
  assert.equal(decide('s3', ofLength(5), undefined, presigned).mode, 'unsigned')
  assert.equal(
    decide('s3', ofLength(5), undefined, 'AWSAccessKeyId=A&Signature=s&Expires=1').mode,
    'unsigned',
  )
  assert.deepEqual(
    decide('s3', ofLength(5), undefined, `${presigned}&X-Amz-Content-Sha256=${declaredHash}`),
    {
      mode: 'declared-hash',
      hash: declaredHash,
    },
  )
  assert.equal(decide('s3', ofLength(5), declaredHash, presigned).mode, 'declared-hash')
  assert.equal(decide('ssm', ofLength(5), undefined, presigned).mode, 'buffer')
})

test('what is no payload mode, or two of them, is refused', () => {
  for (const value of ['', 'x', 'A'.repeat(64), 'unsigned-payload', `${declaredHash}, ${declaredHash}`]) {
    assert.equal(decide('s3', ofLength(5), value).mode, 'refuse', value)
  }
  const header = { name: 'x-amz-content-sha256', value: declaredHash }
  const repeated = { headers: [header, header], query: '', framing: none }
  assert.equal(decidePayload(repeated, { service: 's3', region: '' }, { bufferLimit }).mode, 'refuse')
})
