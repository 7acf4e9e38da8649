import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Duplex } from 'node:stream'
import { test } from 'node:test'
import { connect, type ConnectionOptions } from 'node:tls'
import * as fc from 'fast-check'
import { parseClientHello } from './index.ts'

/** The first flight of OpenSSL's own client. */
async function firstFlight(options: ConnectionOptions): Promise<Buffer> {
  const wire = new Duplex({
    read: () => undefined,
    write(chunk: Buffer, _encoding, done) {
      wire.emit('flight', chunk)
      done()
    },
  })
  const flight = once(wire, 'flight') as Promise<[Buffer]>
  const client = connect({ ...options, socket: wire })
  client.on('error', () => undefined)
  const [bytes] = await flight
  client.destroy()
  return bytes
}

function u16(value: number): number[] {
  return [value >> 8, value & 0xff]
}

function vector8(bytes: readonly number[]): number[] {
  return [bytes.length, ...bytes]
}

function vector16(bytes: readonly number[]): number[] {
  return [...u16(bytes.length), ...bytes]
}

function ascii(text: string): number[] {
  return [...Buffer.from(text, 'latin1')]
}

function extension(type: number, data: readonly number[]): number[] {
  return [...u16(type), ...vector16(data)]
}

function sni(name: string): number[] {
  return extension(0, vector16([0, ...vector16(ascii(name))]))
}

/** A ClientHello message with these extensions; `body` overrides everything behind the message's length. */
function hello(extensions: readonly number[][], body = helloBody(extensions)): number[] {
  return [1, 0, ...vector16(body)]
}

function helloBody(extensions: readonly number[][]): number[] {
  const random = Array.from({ length: 32 }, () => 7)
  return [
    3,
    3,
    ...random,
    ...vector8([]),
    ...vector16([0x13, 0x01]),
    ...vector8([0]),
    ...vector16(extensions.flat()),
  ]
}

/** `message` in records of at most `size` bytes. */
function records(message: readonly number[], size = 16_384): Uint8Array {
  const bytes: number[] = []
  for (let at = 0; at < message.length; at += size) {
    bytes.push(22, 3, 1, ...vector16(message.slice(at, at + size)))
  }
  return Uint8Array.from(bytes)
}

function reasonOf(bytes: Uint8Array): string {
  const parsed = parseClientHello(bytes)
  return parsed.kind === 'invalid' ? parsed.reason : parsed.kind
}

test('the hello of a real client tells name, protocols and versions', async () => {
  const bytes = await firstFlight({ servername: 'Example.COM', ALPNProtocols: ['h2', 'http/1.1'] })
  assert.deepEqual(parseClientHello(bytes), {
    kind: 'hello',
    serverName: 'example.com',
    alpn: ['h2', 'http/1.1'],
    encryptedClientHello: false,
    versions: [0x0304, 0x0303],
  })
  const plain = await firstFlight({ maxVersion: 'TLSv1.2', servername: '' })
  assert.deepEqual(parseClientHello(plain), {
    kind: 'hello',
    alpn: [],
    encryptedClientHello: false,
    versions: [0x0303],
  })
})

test('a hello dripped a byte at a time is incomplete until its last byte', () => {
  const bytes = records(hello([sni('a.example')]), 50)
  for (let length = 0; length < bytes.length; length += 1) {
    assert.equal(parseClientHello(bytes.subarray(0, length)).kind, 'incomplete', String(length))
  }
  assert.equal(parseClientHello(bytes).kind, 'hello')
})

test('a hello reads the same however it is cut into records, and whatever follows it', () => {
  const message = hello([sni('a.example'), extension(16, vector16(vector8(ascii('h2'))))])
  const whole = parseClientHello(records(message))
  fc.assert(
    fc.property(
      fc.integer({ min: Math.ceil(message.length / 64), max: message.length }),
      fc.uint8Array({ maxLength: 20 }),
      (size, rest) => {
        assert.deepEqual(parseClientHello(Buffer.concat([records(message, size), rest])), whole)
      },
    ),
  )
})

test('bytes that are not TLS are known by the first of them', () => {
  for (const text of ['GET / HTTP/1.1\r\n', 'S', '\x80\x2e\x01\x03\x01', '\x15\x03\x01', '\x16\x02']) {
    assert.equal(parseClientHello(Buffer.from(text, 'latin1')).kind, 'not-tls')
  }
  assert.equal(parseClientHello(Buffer.from([0x16, 3])).kind, 'incomplete')
})

test('an IP literal or no name at all gives no server name', () => {
  for (const name of ['10.0.0.1', '::1', '[fe80::1]', '255.255.255.255']) {
    const parsed = parseClientHello(records(hello([sni(name)])))
    assert.equal(parsed.kind, 'hello', name)
    assert.equal('serverName' in parsed, false, name)
  }
  assert.equal('serverName' in parseClientHello(records(hello([]))), false)
})

test('a name that DNS cannot have is invalid', () => {
  const names = [
    '',
    '.',
    'a.',
    '.a',
    'a..b',
    'a b',
    'a\0b',
    'ä.de',
    '-a',
    'a-',
    '*.a',
    'a/b',
    'a:1x',
    'a'.repeat(64),
  ]
  names.push(`${'abcdefg.'.repeat(32)}de`)
  for (const name of names) {
    assert.equal(reasonOf(records(hello([sni(name)]))), 'server name is not a DNS name', JSON.stringify(name))
  }
})

test('an encrypted hello is seen, with its outer name', () => {
  const parsed = parseClientHello(records(hello([sni('outer.example'), extension(0xfe0d, [0, 1])])))
  assert.equal(parsed.kind === 'hello' && parsed.encryptedClientHello, true)
  assert.equal(parsed.kind === 'hello' && parsed.serverName, 'outer.example')
})

const secondName = [0, ...vector16(ascii('a')), 0, ...vector16(ascii('b'))]

const attacks: [name: string, bytes: Uint8Array][] = [
  ['two server names', records(hello([extension(0, vector16(secondName))]))],
  ['an empty list of names', records(hello([extension(0, vector16([]))]))],
  ['a name of another type', records(hello([extension(0, vector16([1, ...vector16(ascii('a'))]))]))],
  [
    'bytes behind the list of names',
    records(hello([extension(0, [...vector16([0, ...vector16([97])]), 0])])),
  ],
  ['two server name extensions', records(hello([sni('a'), sni('b')]))],
  ['a name longer than its extension', records(hello([extension(0, [0, 4, 0, 0, 9, 97])]))],
  ['an empty ALPN list', records(hello([extension(16, vector16([]))]))],
  ['an empty ALPN name', records(hello([extension(16, vector16([0]))]))],
  ['an odd list of versions', records(hello([extension(43, vector8([3]))]))],
  ['bytes behind the extensions', records(hello([], [...helloBody([]), 0]))],
  ['a body cut short', records(hello([], [3, 3, 1, 2]))],
  ['another handshake message', records([2, 0, 0, 1, 0])],
  ['an empty record', Uint8Array.from([22, 3, 1, 0, 0])],
  ['an alert between the records', Uint8Array.from([...records([1, 0, 0]), 21, 3, 1, 0, 2, 1, 0])],
  ['a message beyond 16 KiB', records([1, 0, 0x40, 1])],
  ['a message of 16 MiB', records([1, 0xff, 0xff, 0xff])],
  ['a record beyond 16 KiB', Uint8Array.from([22, 3, 1, 0x40, 1])],
  ['endless fragments of one byte', records([1, 0, 0x3f, 0, ...Array.from({ length: 61 }, () => 0)], 1)],
]

for (const [name, bytes] of attacks) {
  test(`invalid: ${name}`, () => {
    assert.equal(parseClientHello(bytes).kind, 'invalid')
  })
}

test('any bytes get an answer that more bytes do not turn around', () => {
  const start = records(hello([sni('a.example'), extension(43, vector8([3, 4]))]))
  fc.assert(
    fc.property(fc.nat(start.length - 1), fc.nat(255), fc.nat(start.length), (at, value, cut) => {
      const bytes = Uint8Array.from(start)
      bytes[at] = value
      const early = parseClientHello(bytes.subarray(0, cut))
      if (early.kind !== 'incomplete') assert.deepEqual(parseClientHello(bytes), early)
    }),
  )
})
