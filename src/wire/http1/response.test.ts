import assert from 'node:assert/strict'
import { test } from 'node:test'
import { plainHead } from './fixture.ts'
import { parseResponseHead, type ResponseHead } from './index.ts'

function parse(text: string, method = 'GET') {
  return parseResponseHead(Buffer.from(text, 'latin1'), { method })
}

function accepted(lines: string[], method?: string): ResponseHead {
  const parsed = parse([...lines, '', ''].join('\r\n'), method)
  assert.equal(parsed.kind, 'head', JSON.stringify(parsed))
  return (parsed as { head: ResponseHead }).head
}

test('a response head is taken apart', () => {
  const text = 'HTTP/1.1 404 Not Found\r\nX-A: b\r\nContent-Length: 2\r\n\r\n'
  assert.deepEqual(plainHead(parse(`${text}no`)), {
    kind: 'head',
    length: text.length,
    head: {
      status: 404,
      reason: 'Not Found',
      version: '1.1',
      headers: [
        { name: 'x-a', rawName: 'X-A', value: 'b' },
        { name: 'content-length', rawName: 'Content-Length', value: '2' },
      ],
      framing: { kind: 'length', bytes: 2 },
      keepAlive: true,
      connection: [],
    },
  })
})

test('an empty reason is accepted with and without its space', () => {
  assert.equal(accepted(['HTTP/1.1 200 ']).reason, '')
  assert.equal(accepted(['HTTP/1.1 200']).reason, '')
})

test('responses without a body by status or method have none', () => {
  assert.deepEqual(accepted(['HTTP/1.1 100 Continue']).framing, { kind: 'none' })
  assert.deepEqual(accepted(['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket']).framing, {
    kind: 'none',
  })
  assert.deepEqual(accepted(['HTTP/1.1 204 No Content', 'Content-Length: 0']).framing, { kind: 'none' })
  assert.deepEqual(accepted(['HTTP/1.1 304 Not Modified', 'Content-Length: 9']).framing, { kind: 'none' })
  assert.deepEqual(accepted(['HTTP/1.1 200 OK', 'Content-Length: 9'], 'HEAD').framing, { kind: 'none' })
  assert.deepEqual(accepted(['HTTP/1.1 200 OK', 'Transfer-Encoding: chunked'], 'HEAD').framing, {
    kind: 'none',
  })
  assert.deepEqual(accepted(['HTTP/1.1 200 OK'], 'CONNECT').framing, { kind: 'none' })
})

test('without a declared length a body ends with the connection, which is then not used again', () => {
  const head = accepted(['HTTP/1.1 200 OK', 'Connection: keep-alive'])
  assert.deepEqual(head.framing, { kind: 'until-close' })
  assert.equal(head.keepAlive, false)
  assert.equal(accepted(['HTTP/1.0 200 OK', 'Content-Length: 1']).keepAlive, false)
})

const attacks: [name: string, text: string][] = [
  ['both framings', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n'],
  ['both framings of HEAD', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n'],
  ['a body announced with 204', 'HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n\r\n'],
  ['chunks announced with 100', 'HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n'],
  ['another transfer coding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n'],
  ['chunks in HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'],
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n'],
  [
    'a length nominated by Connection',
    'HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 1\r\n\r\n',
  ],
  [
    'chunks nominated by Connection',
    'HTTP/1.1 200 OK\r\nConnection: a, Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n',
  ],
  ['a folded header', 'HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n'],
  ['a bare LF', 'HTTP/1.1 200 OK\nA: b\r\n\r\n'],
  ['a bare CR in the reason', 'HTTP/1.1 200 O\rK\r\n\r\n'],
  ['a control character in the reason', 'HTTP/1.1 200 \x1b\r\n\r\n'],
  ['a status of two digits', 'HTTP/1.1 99 X\r\n\r\n'],
  ['a status of four digits', 'HTTP/1.1 2000 X\r\n\r\n'],
  ['a status beyond 599', 'HTTP/1.1 600 X\r\n\r\n'],
  ['two spaces', 'HTTP/1.1  200 OK\r\n\r\n'],
  ['another version', 'HTTP/2 200 OK\r\n\r\n'],
  ['another protocol, early', 'SSH-2.0'],
  ['a bare LF, early', 'HTTP/1.1 200 OK\n'],
]

for (const [name, text] of attacks) {
  test(`refused: ${name}`, () => {
    const parsed = parse(text, name.endsWith('HEAD') ? 'HEAD' : 'GET')
    assert.equal(parsed.kind, 'refused')
    assert.equal(parsed.kind === 'refused' && parsed.status, 502)
  })
}

test('a head dripped a byte at a time becomes the same head', () => {
  const text = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'
  for (let length = 0; length < text.length; length += 1) {
    assert.equal(parse(text.slice(0, length)).kind, 'incomplete', String(length))
  }
  assert.equal(parse(text).kind, 'head')
})
