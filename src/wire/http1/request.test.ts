import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { plainHead, plainHeaders } from './fixture.ts'
import { formatRequestHead, parseRequestHead, type HeadLimits, type RequestHead } from './index.ts'

function parse(text: string, limits?: HeadLimits) {
  return parseRequestHead(Buffer.from(text, 'latin1'), limits)
}

function accepted(text: string): RequestHead {
  const parsed = parse(text)
  assert.equal(parsed.kind, 'head', JSON.stringify(parsed))
  return (parsed as { head: RequestHead }).head
}

/** The status with which a head is refused, or what else became of it. */
function refusal(text: string, limits?: HeadLimits): number | string {
  const parsed = parse(text, limits)
  return parsed.kind === 'refused' ? parsed.status : parsed.kind
}

/** A head whose header lines are `lines` after a Host. */
function withHeaders(...lines: string[]): string {
  return ['POST /p HTTP/1.1', 'Host: h', ...lines, '', ''].join('\r\n')
}

test('a request head is taken apart and what follows it is left alone', () => {
  const text =
    'PUT /a%20b?c=d HTTP/1.1\r\nHOST: Example.COM:8443\r\nX-Thing: \t two words\t \r\ncontent-length: 3\r\n\r\n'
  const parsed = parse(`${text}abcGET / HTTP/1.1\r\n\r\n`)
  assert.deepEqual(plainHead(parsed), {
    kind: 'head',
    length: text.length,
    head: {
      method: 'PUT',
      target: '/a%20b?c=d',
      form: 'origin',
      version: '1.1',
      headers: [
        { name: 'host', rawName: 'HOST', value: 'Example.COM:8443' },
        { name: 'x-thing', rawName: 'X-Thing', value: 'two words' },
        { name: 'content-length', rawName: 'content-length', value: '3' },
      ],
      host: 'example.com:8443',
      framing: { kind: 'length', bytes: 3 },
      keepAlive: true,
      expectContinue: false,
      upgrade: false,
      upgradeProtocols: [],
      connection: [],
    },
  })
})

test('the form of the target is reported, and each form only where its method allows it', () => {
  const formOf = (line: string, host = 'h') => {
    const parsed = parse(`${line} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
    return parsed.kind === 'head' ? parsed.head.form : parsed.kind
  }
  assert.equal(formOf('GET /'), 'origin')
  assert.equal(formOf('TRACE /'), 'origin')
  assert.equal(formOf('GET http://h/x'), 'absolute')
  assert.equal(formOf('GET http://h:80?x', 'H'), 'absolute')
  assert.equal(formOf('OPTIONS *'), 'asterisk')
  assert.equal(formOf('CONNECT h:443'), 'authority')
  assert.equal(formOf('CONNECT h:443', 'h:443'), 'authority')
  assert.equal(formOf('CONNECT [::1]:443', '[::1]:443'), 'authority')
  for (const line of [
    'GET *',
    'GET h:443',
    'CONNECT /',
    'CONNECT h',
    'GET x',
    'GET ftp://h/',
    'GET http:///x',
  ]) {
    assert.equal(formOf(line), 'refused', line)
  }
})

test('a Host that disagrees with the target is refused', () => {
  assert.equal(refusal('GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n'), 400)
  assert.equal(refusal('GET http://a:8080/ HTTP/1.1\r\nHost: a\r\n\r\n'), 400)
  assert.equal(refusal('GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n'), 400)
  assert.equal(refusal('CONNECT a:443 HTTP/1.1\r\nHost: b:443\r\n\r\n'), 400)
  assert.equal(refusal('CONNECT a:444 HTTP/1.1\r\nHost: a:443\r\n\r\n'), 400)
})

test('HTTP/1.1 needs exactly one well-formed Host, HTTP/1.0 at most one', () => {
  assert.equal(refusal('GET / HTTP/1.1\r\n\r\n'), 400)
  assert.equal(refusal('GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n'), 400)
  assert.equal(refusal('GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n'), 400)
  assert.equal(accepted('GET / HTTP/1.0\r\n\r\n').host, undefined)
  for (const host of [
    '',
    'a b',
    'a,b',
    'a/b',
    'u@a',
    'a:',
    'a:99999',
    'a:1:2',
    'a%00',
    '[::1',
    '::1',
    'a:80x',
    '\xe9',
  ]) {
    assert.equal(refusal(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`), 400, host)
  }
  assert.equal(accepted('GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n').host, '[::1]:80')
})

test('framing is read only where every parser would read it alike', () => {
  const framingOf = (...lines: string[]) => accepted(withHeaders(...lines)).framing
  assert.deepEqual(framingOf(), { kind: 'none' })
  assert.deepEqual(framingOf('Content-Length: 0'), { kind: 'length', bytes: 0 })
  assert.deepEqual(framingOf('Content-Length: 007'), { kind: 'length', bytes: 7 })
  assert.deepEqual(framingOf('Transfer-Encoding: Chunked'), { kind: 'chunked' })
})

const framingAttacks: [name: string, ...lines: string[]][] = [
  ['CL.TE', 'Content-Length: 6', 'Transfer-Encoding: chunked'],
  ['TE.CL', 'Transfer-Encoding: chunked', 'Content-Length: 6'],
  ['TE.TE', 'Transfer-Encoding: chunked', 'Transfer-Encoding: identity'],
  ['TE twice the same', 'Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'],
  ['TE list', 'Transfer-Encoding: chunked, identity'],
  ['TE list ending in chunked', 'Transfer-Encoding: gzip, chunked'],
  ['TE chunked twice in one', 'Transfer-Encoding: chunked, chunked'],
  ['TE misspelt', 'Transfer-Encoding: xchunked'],
  ['TE quoted', 'Transfer-Encoding: "chunked"'],
  ['TE with parameter', 'Transfer-Encoding: chunked;x=1'],
  ['TE with leading comma', 'Transfer-Encoding: ,chunked'],
  ['TE between tabs', 'Transfer-Encoding:\tchunked\t'],
  ['CL behind a tab', 'Content-Length:\t1'],
  ['TE empty', 'Transfer-Encoding:'],
  ['TE with vertical tab', 'Transfer-Encoding: \x0bchunked'],
  ['TE folded', 'Transfer-Encoding:', ' chunked'],
  ['TE name with space', 'Transfer-Encoding : chunked'],
  ['TE name with tab', 'Transfer-Encoding\t: chunked'],
  ['TE behind a leading space', ' Transfer-Encoding: chunked'],
  ['TE behind a bare LF', 'X: y\nTransfer-Encoding: chunked'],
  ['TE behind a bare CR', 'X: y\rTransfer-Encoding: chunked'],
  ['TE behind a NUL', 'X: y\0Transfer-Encoding: chunked'],
  ['CL twice, differing', 'Content-Length: 1', 'Content-Length: 2'],
  ['CL twice, the same', 'Content-Length: 1', 'Content-Length: 1'],
  ['CL list', 'Content-Length: 1, 1'],
  ['CL with plus', 'Content-Length: +5'],
  ['CL negative', 'Content-Length: -5'],
  ['CL hexadecimal', 'Content-Length: 0x5'],
  ['CL with exponent', 'Content-Length: 1e1'],
  ['CL with underscore', 'Content-Length: 1_0'],
  ['CL with inner space', 'Content-Length: 1 0'],
  ['CL with other digits', 'Content-Length: \xb2'],
  ['CL empty', 'Content-Length:'],
  ['CL beyond 2^53', 'Content-Length: 9007199254740993'],
  ['empty header name', ': x'],
  ['no colon', 'nocolon'],
  ['illegal header name', 'a(b: c'],
  ['non-ASCII header name', 'caf\xe9: c'],
  ['DEL in a value', 'a: \x7f'],
  ['escape in a value', 'a: \x1b[2J'],
  ['framing nominated by Connection', 'Content-Length: 1', 'Connection: close, Content-Length'],
  ['Host nominated by Connection', 'Connection: host'],
  ['signature nominated by Connection', 'Connection: keep-alive, X-Amz-Date'],
  ['a signed header nominated by Connection', 'Connection: content-type'],
  ['a coding nominated by Connection', 'Connection: Content-Encoding'],
  ['Authorization nominated by Connection', 'Connection: keep-alive', 'Connection: authorization'],
]

for (const [name, ...lines] of framingAttacks) {
  test(`refused: ${name}`, () => {
    assert.match(String(refusal(withHeaders(...lines))), /^(400|501)$/)
  })
}

const malformedLines = [
  '',
  ' GET / HTTP/1.1',
  'GET  / HTTP/1.1',
  'GET /  HTTP/1.1',
  'GET / HTTP/1.1 ',
  'GET /\tHTTP/1.1',
  'GET\t/ HTTP/1.1',
  'GET /a b HTTP/1.1',
  'GET /',
  'GET / ',
  'GET',
  'G(T / HTTP/1.1',
  'G\xc9T / HTTP/1.1',
  'GET / http/1.1',
  'GET / HTTP/1.1.1',
  'GET / HTTP/01.1',
  'GET / HTTP/1.10',
  'GET / XTTP/1.1',
  'GET /#f HTTP/1.1',
  'GET /a\\..\\b HTTP/1.1',
  'GET /caf\xe9 HTTP/1.1',
  'GET /\0 HTTP/1.1',
  'GET /\x7f HTTP/1.1',
  'GET /\rX: y HTTP/1.1',
  `${'M'.repeat(33)} / HTTP/1.1`,
]

for (const line of malformedLines) {
  test(`refused as a request line: ${JSON.stringify(line)}`, () => {
    assert.equal(refusal(`${line}\r\nHost: h\r\n\r\n`), 400)
  })
}

test('other versions are told apart from nonsense', () => {
  assert.equal(refusal('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), 505)
  assert.equal(refusal('GET / HTTP/1.2\r\nHost: h\r\n\r\n'), 505)
  assert.equal(refusal('GET / HTTP/0.9\r\nHost: h\r\n\r\n'), 505)
  assert.equal(refusal('GET /\r\n\r\n'), 400)
})

test('bytes that can never become a request are refused before the head is complete', () => {
  for (const text of [
    '\x16\x03\x01\x02\x00',
    'SSH-2.0-x\r\n',
    '\r\n',
    'GET / HTTP/1.1\n',
    'a'.repeat(33),
    ' GET',
  ]) {
    assert.equal(refusal(text), 400, JSON.stringify(text))
  }
  for (const text of ['', 'G', 'a'.repeat(32), 'GET ', 'GET / HTTP/1.1\r\nHost: h\r\n']) {
    assert.equal(refusal(text), 'incomplete', JSON.stringify(text))
  }
})

test('heads beyond the limits are refused, also before they end', () => {
  const limits = { maxBytes: 64, maxHeaders: 2 }
  const fill = (length: number) => `GET /${'a'.repeat(length - 26)} HTTP/1.1\r\nHost:h\r\n\r\n`
  assert.equal(fill(64).length, 64)
  assert.equal(refusal(fill(64), limits), 'head')
  assert.equal(refusal(fill(65), limits), 431)
  assert.equal(refusal('GET /'.padEnd(63, 'a'), limits), 'incomplete')
  assert.equal(refusal('GET /'.padEnd(64, 'a'), limits), 431)
  assert.equal(refusal('GET / HTTP/1.1\r\nHost:h\r\na:\r\n\r\n', limits), 'head')
  assert.equal(refusal('GET / HTTP/1.1\r\nHost:h\r\na:\r\nb:\r\n\r\n', limits), 431)
})

test('the connection stays open or not as version and Connection say', () => {
  const keeps = (version: string, ...lines: string[]) =>
    accepted([`GET / HTTP/${version}`, 'Host: h', ...lines, '', ''].join('\r\n')).keepAlive
  assert.equal(keeps('1.1'), true)
  assert.equal(keeps('1.1', 'Connection: Close'), false)
  assert.equal(keeps('1.1', 'Connection: foo', 'Connection: a ,close'), false)
  assert.equal(keeps('1.1', 'Connection: a,\t close \t'), false)
  assert.equal(keeps('1.1', 'Connection: close\xa0'), true, 'no white space of HTTP')
  assert.equal(keeps('1.0'), false)
  assert.equal(keeps('1.0', 'Connection: Keep-Alive'), true)
  assert.equal(keeps('1.0', 'Connection: keep-alive, close'), false)
})

test('expectations and upgrades are reported', () => {
  assert.equal(accepted(withHeaders('Expect: 100-Continue')).expectContinue, true)
  assert.equal(refusal(withHeaders('Expect: something')), 417)
  assert.equal(refusal(withHeaders('Expect: 100-continue', 'Expect: 100-continue')), 417)
  assert.equal(accepted('GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n').expectContinue, false)
  const upgrade = accepted(
    withHeaders('Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: x'),
  )
  assert.equal(upgrade.upgrade, true)
  assert.deepEqual(upgrade.upgradeProtocols, ['h2c'])
  assert.deepEqual(upgrade.connection, ['upgrade', 'http2-settings'])
})

test('a head dripped a byte at a time becomes the same head', () => {
  const text = withHeaders('Content-Length: 3', 'X-Y: z')
  const bytes = Buffer.from(`${text}abc`)
  for (let length = 0; length < text.length; length += 1) {
    assert.equal(parseRequestHead(bytes.subarray(0, length)).kind, 'incomplete', String(length))
  }
  assert.deepEqual(
    plainHead(parseRequestHead(bytes.subarray(0, text.length))),
    plainHead(parseRequestHead(bytes)),
  )
})

test('what was accepted is written and read again without a change', () => {
  const name = fc
    .stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}$/)
    .filter((text) => !reserved.has(text.toLowerCase()))
  const value = fc.stringMatching(/^(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]{0,20}[!-~\x80-\xff])?)?$/)
  const header = fc
    .record({ rawName: name, value })
    .map((field) => ({ ...field, name: field.rawName.toLowerCase() }))
  const target = fc.stringMatching(/^\/[!"$-[\]-~]{0,40}$/)
  const method = fc.constantFrom('GET', 'PUT', 'POST', 'M-SEARCH')
  fc.assert(
    fc.property(fc.array(header, { maxLength: 20 }), target, method, (others, path, verb) => {
      const headers = [{ name: 'host', rawName: 'Host', value: 'h' }, ...others]
      const bytes = formatRequestHead({ method: verb, target: path, headers })
      const parsed = parseRequestHead(bytes)
      assert.equal(parsed.kind, 'head', JSON.stringify(parsed))
      if (parsed.kind !== 'head') return
      assert.equal(parsed.length, bytes.length)
      assert.deepEqual([parsed.head.method, parsed.head.target], [verb, path])
      assert.deepEqual(
        plainHeaders(parsed.head.headers),
        headers.map(({ name: lower, rawName, value: text }) => ({ name: lower, rawName, value: text })),
      )
      // As objects of their own, and as the lines that they were read from.
      assert.deepEqual(formatRequestHead(parsed.head), bytes)
    }),
  )
})

const reserved = new Set(['host', 'content-length', 'transfer-encoding', 'connection', 'expect', 'upgrade'])

test('any bytes get an answer that more bytes do not turn around', () => {
  const noise = fc.array(
    fc.constantFrom(
      'GET ',
      '/',
      ' HTTP/1.1',
      '\r\n',
      '\r',
      '\n',
      'Host: h',
      ':',
      ' ',
      'Content-Length: 1',
      '\0',
      'é',
      'chunked',
    ),
    { maxLength: 20 },
  )
  fc.assert(
    fc.property(noise, fc.nat(200), (parts, cut) => {
      const bytes = Buffer.from(parts.join(''), 'latin1')
      const early = parseRequestHead(bytes.subarray(0, cut))
      const late = parseRequestHead(bytes)
      if (early.kind !== 'incomplete') assert.equal(early.kind, late.kind)
      if (early.kind === 'head') assert.deepEqual(early, late)
    }),
  )
})
