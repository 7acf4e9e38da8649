import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault } from '#base/errors'
import { formatRequestHead, formatResponseHead, parseAbsoluteTarget, parseRequestHead } from './index.ts'

function isMalformed(error: unknown): boolean {
  return isFault(error, 'WIRE_MALFORMED')
}

test('heads are written in the case in which names came, byte for character', () => {
  const headers = [
    { name: 'host', rawName: 'Host', value: 'h' },
    { name: 'x-a', value: 'caf\xe9' },
  ]
  assert.deepEqual(
    formatRequestHead({ method: 'GET', target: '/a?b', headers }),
    Buffer.from('GET /a?b HTTP/1.1\r\nHost: h\r\nx-a: caf\xe9\r\n\r\n', 'latin1'),
  )
  assert.deepEqual(
    formatResponseHead({ status: 503, reason: 'Service Unavailable', headers: [] }),
    Buffer.from('HTTP/1.1 503 Service Unavailable\r\n\r\n'),
  )
})

test('headers that were read are written in their order among others, with one space and none behind', () => {
  const read = (text: string) => {
    const parsed = parseRequestHead(Buffer.from(`GET / HTTP/1.1\r\nHost: h\r\n${text}\r\n`, 'latin1'))
    assert(parsed.kind === 'head')
    return parsed.head.headers
  }
  const [one, two] = [read('a: 1\r\nB:  2 \r\nc:3\r\nd:\t4\r\ne: 5\r\n'), read('f: \xe9\r\ng:\r\n')]
  const headers = [...one.slice(1), { name: 'x', value: 'y' }, two[1]!, one[1]!, two[2]!]
  assert.equal(
    formatRequestHead({ method: 'GET', target: '/', headers }).toString('latin1'),
    'GET / HTTP/1.1\r\na: 1\r\nB: 2\r\nc: 3\r\nd: 4\r\ne: 5\r\nx: y\r\nf: \xe9\r\na: 1\r\ng: \r\n\r\n',
  )
})

test('nothing that is written can break out of its place', () => {
  const request = { method: 'GET', target: '/', headers: [] as { name: string; value: string }[] }
  for (const value of ['a\r\nb: c', 'a\nb', 'a\rb', 'a\0', '\u010a', '\u010d\u010a', '\r\n', '\x7f']) {
    assert.throws(() => formatRequestHead({ ...request, headers: [{ name: 'a', value }] }), isMalformed)
    assert.throws(() => formatResponseHead({ status: 200, reason: value, headers: [] }), isMalformed)
  }
  for (const name of ['', 'a b', 'a:', 'a\r\n', 'é', 'a\n']) {
    assert.throws(() => formatRequestHead({ ...request, headers: [{ name, value: '' }] }), isMalformed)
  }
  for (const target of ['', ' ', '/ HTTP/1.1\r\nA: b', '/#', '/\xe9', '/a b', '/\n']) {
    assert.throws(() => formatRequestHead({ ...request, target }), isMalformed)
  }
  for (const method of ['', 'G T', 'GET\r\n']) {
    assert.throws(() => formatRequestHead({ ...request, method }), isMalformed)
  }
  for (const status of [99, 600, 1.5, Number.NaN]) {
    assert.throws(() => formatResponseHead({ status, headers: [] }), isMalformed)
  }
})

test('an absolute target is taken apart', () => {
  assert.deepEqual(parseAbsoluteTarget('HTTP://Ex.org:80/a?b'), {
    scheme: 'http',
    authority: 'ex.org:80',
    target: '/a?b',
  })
  assert.deepEqual(parseAbsoluteTarget('https://ex.org?b')?.target, '/?b')
  assert.deepEqual(parseAbsoluteTarget('https://ex.org')?.target, '/')
  for (const target of ['/a', 'http:/a', 'http://', 'http://u@h/', 'file:///a', 'http://a b/']) {
    assert.equal(parseAbsoluteTarget(target), undefined, target)
  }
})
