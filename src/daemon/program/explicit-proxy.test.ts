import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { readProxyRequest } from './explicit-proxy.ts'

const read = (text: string) => readProxyRequest(Buffer.from(text, 'latin1'))

test('CONNECT names a host and port; what follows the head belongs to the tunnel', () => {
  assert.deepEqual(read('CONNECT S3.example.org:443 HTTP/1.1\r\nHost: s3.example.org:443\r\n\r\nhello'), {
    kind: 'tunnel',
    host: 's3.example.org',
    port: 443,
    rest: Buffer.from('hello'),
  })
  const six = read('CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n')
  assert.equal(six?.kind === 'tunnel' && six.host, '2001:db8::1')
})

test('a plain-text request is brought into origin form, for one request', () => {
  const request = read(
    'POST http://minio.example.org:9000/b?x=1 HTTP/1.1\r\nHost: minio.example.org:9000\r\nProxy-Connection: keep-alive\r\n' +
      'Proxy-Authorization: Basic c2VjcmV0\r\nContent-Length: 2\r\n\r\nhi',
  )
  assert.ok(request?.kind === 'forward')
  assert.equal(request.host, 'minio.example.org')
  assert.equal(request.port, 9000)
  assert.equal(
    request.rest.toString(),
    'POST /b?x=1 HTTP/1.1\r\nHost: minio.example.org:9000\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi',
  )
})

test('what Connection nominates cannot make a body into another request', () => {
  const request = read(
    'POST http://a/ HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\nContent-Length: 2\r\n\r\nhi',
  )
  if (request?.kind === 'forward') assert.match(request.rest.toString(), /Content-Length: 2/)
  else assert.equal(request?.kind, 'refused')
})

test('everything else is refused', () => {
  for (const text of [
    'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
    'GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n',
    'CONNECT a:0 HTTP/1.1\r\nHost: a:0\r\n\r\n',
    'CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n',
    'GET http://user@a/ HTTP/1.1\r\nHost: a\r\n\r\n',
  ]) {
    assert.equal(read(text)?.kind, 'refused', text)
  }
  assert.equal(read('CONNECT a:1'), undefined)
})

test('any bytes get a verdict of some kind, never an exception', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => void readProxyRequest(Buffer.from(bytes))),
  )
})
