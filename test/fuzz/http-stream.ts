import assert from 'node:assert/strict'
import { METHODS } from 'node:http'
import { isFault } from '#base/errors'
import { openBodyScanner, parseRequestHead, type Framing } from '#wire/http1'
import { httpTokens } from './http-heads.ts'
import { readWithNode, type SeenRequest } from './node-server.ts'
import type { Random } from './random.ts'
import { bytesOf, type Target } from './target.ts'

interface ScannedBody {
  readonly outcome: 'done' | 'open' | 'malformed'
  readonly consumed: number
  readonly payload: string
}

/** Scans a body in pieces of random sizes, or in one when no `random` is given. */
function scanBody(framing: Framing, input: Buffer, random?: Random): ScannedBody {
  const scanner = openBodyScanner(framing)
  let payload = ''
  let at = 0
  try {
    while (!scanner.done && at < input.length) {
      const end = random ? Math.min(input.length, at + 1 + random.below(8)) : input.length
      at += scanner.scan(input.subarray(at, end), (part) => (payload += part.toString('latin1'))).consumed
    }
  } catch (error) {
    if (!isFault(error, 'WIRE_MALFORMED')) throw error
    return { outcome: 'malformed', consumed: 0, payload: error.message }
  }
  return { outcome: scanner.done ? 'done' : 'open', consumed: at, payload }
}

function scanStable(framing: Framing, input: Buffer, random: Random): ScannedBody {
  const whole = scanBody(framing, input)
  assert.deepEqual(scanBody(framing, input, random), whole)
  return whole
}

export const chunkedBodyTarget: Target = {
  name: 'chunked-body',
  tokens: [
    ...httpTokens,
    ...bytesOf('a;b=c\r\n', ';', '00000000', '0\r\nHost: h\r\n\r\n', '0\r\nA: b\r\n\r\n'),
  ],
  async check(input, random) {
    const body = scanStable({ kind: 'chunked' }, input, random)
    if (body.outcome !== 'done') return body.outcome === 'malformed' ? body.payload : body.outcome
    const head = Buffer.from('POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n')
    const seen = await readWithNode(Buffer.concat([head, input.subarray(0, body.consumed)]))
    assert.deepEqual(seen, [{ method: 'POST', target: '/', body: body.payload }])
    return `done, ${body.payload === '' ? 'empty' : 'payload'}`
  },
}

/** Whether Node's parser knows the request's kind: others it refuses or hands out as a raw socket. */
function isComparable(method: string, upgrade: boolean): boolean {
  return METHODS.includes(method) && method !== 'CONNECT' && !upgrade
}

/**
 * Several requests on one connection. Where we go on to accept, Node must see the same requests at the same places:
 * a difference is what request smuggling is made of.
 */
export const requestStreamTarget: Target = {
  name: 'request-stream',
  tokens: httpTokens,
  async check(input, random) {
    const ours: SeenRequest[] = []
    let answer = 'end'
    let at = 0
    while (at < input.length) {
      const parsed = parseRequestHead(input.subarray(at))
      if (parsed.kind !== 'head') {
        answer = parsed.kind === 'refused' ? parsed.reason : parsed.kind
        break
      }
      const { head, length } = parsed
      if (!isComparable(head.method, head.upgrade)) {
        answer = 'not compared'
        break
      }
      const body = scanStable(head.framing, input.subarray(at + length), random)
      if (body.outcome !== 'done') {
        answer = `body ${body.outcome}`
        break
      }
      at += length + body.consumed
      ours.push({ method: head.method, target: head.target, body: body.payload })
      if (!head.keepAlive) {
        answer = 'closed'
        break
      }
    }
    if (ours.length > 0) assert.deepEqual(await readWithNode(input.subarray(0, at)), ours)
    return `${Math.min(ours.length, 3)} requests, ${answer}`
  },
}
