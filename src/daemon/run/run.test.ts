import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { formatDnsAnswer, parseDnsQuery, recordType } from './dns-message.ts'
import { openNameServer } from './name-server.ts'
import { formatPreamble, maxPreambleBytes, parsePreamble } from './preamble.ts'
import { placeholderAddresses } from './placeholders.ts'
import { exitCodeOf } from './signals.ts'

const address = fc.oneof(fc.ipV4(), fc.ipV6())
const plain = { noNullPrototype: true } as const
const endpoint = fc.record({ address, port: fc.integer({ min: 1, max: 65_535 }) }, plain)

test('a preamble comes back as it went, whatever follows it, and not before it is whole', () => {
  fc.assert(
    fc.property(
      fc.record({ client: endpoint, server: endpoint }, plain),
      fc.uint8Array(),
      (preamble, rest) => {
        const line = Buffer.from(formatPreamble(preamble))
        assert.ok(line.length <= maxPreambleBytes)
        assert.deepEqual(parsePreamble(Buffer.concat([line, rest])), { preamble, length: line.length })
        assert.equal(parsePreamble(line.subarray(0, -1)), 'incomplete')
      },
    ),
  )
})

test('no other bytes are taken for a preamble, and nobody waits for more than its length', () => {
  for (const line of ['', 'GET / HTTP/1.1', 'TIDEWAY/1 1.2.3.4 0 1.2.3.4 5', 'TIDEWAY/1 host 1 1.2.3.4 5']) {
    assert.equal(parsePreamble(Buffer.from(`${line}\n`)), 'invalid')
  }
  assert.equal(parsePreamble(Buffer.alloc(maxPreambleBytes, 'x')), 'invalid')
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const parsed = parsePreamble(Buffer.from(bytes))
      if (bytes.length >= maxPreambleBytes) assert.notEqual(parsed, 'incomplete')
    }),
  )
})

function query(name: string, type: number): Buffer {
  const labels = name.split('.').map((label) => Buffer.concat([Buffer.of(label.length), Buffer.from(label)]))
  return Buffer.concat([
    Buffer.from([0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
    ...labels,
    Buffer.from([0, 0, type, 0, 1]),
  ])
}

test('a DNS query is read, and answered with the addresses of its type', () => {
  const parsed = parseDnsQuery(query('S3.Example.org', recordType.a))
  assert.equal(parsed?.name, 's3.example.org')
  const answer = formatDnsAnswer(parsed, ['10.0.0.1', '2001:db8::1'])
  assert.equal(answer.readUInt16BE(0), 0x1234)
  assert.equal(answer.readUInt16BE(2), 0x8180)
  assert.equal(answer.readUInt16BE(6), 1)
  assert.deepEqual([...answer.subarray(-4)], [10, 0, 0, 1])
  const six = parseDnsQuery(query('x', recordType.aaaa))!
  assert.equal(
    formatDnsAnswer(six, ['10.0.0.1', '2001:db8::1']).subarray(-16).toString('hex'),
    `20010db8${'0'.repeat(23)}1`,
  )
  assert.equal(formatDnsAnswer(six, undefined).readUInt16BE(2) & 15, 3, 'a name that is not there')
})

test('whatever arrives on the DNS port, the parser gives an answerable query or nothing', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
      const parsed = parseDnsQuery(Buffer.from(bytes))
      if (parsed) assert.ok(formatDnsAnswer(parsed, ['1.2.3.4']).length <= 512 + 28)
    }),
  )
  const response = query('x', 1)
  response[2] = 0x80
  assert.equal(parseDnsQuery(response), undefined, 'an answer is no query')
})

test('the name server gives overridden names a placeholder and asks for the others', async () => {
  const asked: string[] = []
  const server = await openNameServer({
    overriddenHosts: ['cloud.example.org'],
    async resolve(host) {
      asked.push(host)
      return ['10.1.2.3']
    },
    port: 0,
  })
  const client = createSocket('udp4')
  const ask = async (name: string) => {
    client.send(query(name, recordType.a), server.address().port, '127.0.0.1')
    const [answer] = (await once(client, 'message')) as [Buffer]
    return [...answer.subarray(-4)].join('.')
  }
  assert.equal(
    await ask('cloud.example.org'),
    placeholderAddresses(['cloud.example.org']).get('cloud.example.org'),
  )
  assert.equal(await ask('other.example.org'), '10.1.2.3')
  assert.deepEqual(asked, ['other.example.org'])
  client.close()
  server.close()
})

test('placeholders are different for different names', () => {
  const hosts = Array.from({ length: 600 }, (_, index) => `h${index}`)
  assert.equal(new Set(placeholderAddresses([...hosts, ...hosts]).values()).size, 600)
})

test('exit codes are those that shells count', () => {
  assert.equal(exitCodeOf(7, null), 7)
  assert.equal(exitCodeOf(null, 'SIGKILL'), 137)
})
