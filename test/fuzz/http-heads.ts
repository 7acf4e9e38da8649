import assert from 'node:assert/strict'
import {
  formatRequestHead,
  formatResponseHead,
  parseRequestHead,
  parseResponseHead,
  type Header,
} from '#wire/http1'
import { plainHead } from '../../src/wire/http1/fixture.ts'
import { assertStable, bytesOf, type Target } from './target.ts'

const startLineTokens = bytesOf('GET ', 'POST ', 'HEAD ', 'CONNECT ', 'OPTIONS * ', '/', 'http://h/')
const versionTokens = bytesOf(' HTTP/1.1', ' HTTP/1.0', 'HTTP/1.1 200 OK', 'HTTP/1.1 204 ')
const separatorTokens = bytesOf('\r\n', '\r\n\r\n', '\n', '\r', ' ', '\t', ':', ',', ';', '\0', '\r\n ')
const framingTokens = bytesOf(
  'Content-Length: 3\r\n',
  'Content-Length: 0\r\n',
  'Transfer-Encoding: chunked\r\n',
  'chunked',
)
const otherHeaderTokens = bytesOf(
  'Host: h\r\n',
  'Connection: close\r\n',
  'Connection: keep-alive\r\n',
  'Connection: host\r\n',
  'Expect: 100-continue\r\n',
  'Upgrade: h2c\r\n',
)
const bodyTokens = bytesOf('0\r\n\r\n', '3\r\nabc\r\n', 'ffffffffffffffff', 'X-Trailer: y\r\n')

export const httpTokens = [
  ...startLineTokens,
  ...versionTokens,
  ...separatorTokens,
  ...framingTokens,
  ...otherHeaderTokens,
  ...bodyTokens,
]

function assertSafe(headers: readonly Header[]): void {
  for (const { name, rawName, value } of headers) {
    assert.match(rawName, /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/)
    assert.equal(name, rawName.toLowerCase())
    // oxlint-disable-next-line no-control-regex
    assert.doesNotMatch(value, /[\0-\x08\x0a-\x1f\x7f]|^[ \t]|[ \t]$/)
  }
}

export const requestHeadTarget: Target = {
  name: 'request-head',
  tokens: httpTokens,
  check(input, random) {
    assertStable((bytes) => plainHead(parseRequestHead(bytes)), input, random)
    const parsed = parseRequestHead(input)
    if (parsed.kind !== 'head') return parsed.kind === 'refused' ? parsed.reason : parsed.kind
    const { head, length } = parsed
    assertSafe(head.headers)
    assert.ok(input.subarray(0, length).toString('latin1').endsWith('\r\n\r\n'))
    const written = formatRequestHead(head)
    const plain = plainHead(parsed).head
    assert.deepEqual(written, formatRequestHead(plain))
    const again = plainHead(parseRequestHead(written))
    if (head.version === '1.1') {
      assert.equal(again.kind, 'head')
      assert.deepEqual(again.kind === 'head' && again.head, plain)
    }
    return `${head.form} ${head.version} ${head.framing.kind} keep=${head.keepAlive} upgrade=${head.upgrade}`
  },
}

export const responseHeadTarget: Target = {
  name: 'response-head',
  tokens: httpTokens,
  check(input, random) {
    const method = random.pick(['GET', 'HEAD', 'CONNECT'])
    assertStable((bytes) => plainHead(parseResponseHead(bytes, { method })), input, random)
    const parsed = parseResponseHead(input, { method })
    if (parsed.kind !== 'head') return parsed.kind === 'refused' ? parsed.reason : parsed.kind
    const { head } = parsed
    assertSafe(head.headers)
    const written = formatResponseHead(head)
    const plain = plainHead(parsed).head
    assert.deepEqual(written, formatResponseHead(plain))
    if (head.version === '1.1') {
      const again = plainHead(parseResponseHead(written, { method }))
      assert.deepEqual(again.kind === 'head' && again.head, plain)
    }
    return `${Math.floor(head.status / 100)} ${head.version} ${head.framing.kind} keep=${head.keepAlive}`
  },
}
