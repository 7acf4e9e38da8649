import { isIPv4, isIPv6 } from 'node:net'

/** RFC 1035 section 4.2.1: what a query without EDNS may measure. */
const maxQueryBytes = 512
const headerBytes = 12
const classInternet = 1
const answerTtlSeconds = 30

export interface DnsQuery {
  /** Lower-case, without its last dot. */
  readonly name: string
  readonly type: number
  /** The query's bytes up to the end of its question. */
  readonly question: Buffer
}

export const recordType = { a: 1, aaaa: 28 } as const

/** Parses a standard query with one question of class IN; undefined for everything else. */
export function parseDnsQuery(message: Buffer): DnsQuery | undefined {
  if (message.length < headerBytes || message.length > maxQueryBytes) return undefined
  const isStandardQuery = (message.readUInt16BE(2) & 0xf800) === 0
  if (!isStandardQuery || message.readUInt16BE(4) !== 1) return undefined
  const labels: string[] = []
  let at = headerBytes
  for (;;) {
    const length = message[at]
    if (length === undefined || length > 63) return undefined // compression has no place in a question
    at += 1
    if (length === 0) break
    labels.push(message.toString('latin1', at, at + length))
    at += length
  }
  if (at + 4 > message.length || message.readUInt16BE(at + 2) !== classInternet) return undefined
  const name = labels.join('.').toLowerCase()
  return { name, type: message.readUInt16BE(at), question: Buffer.from(message.subarray(0, at + 4)) }
}

function ipv6Bytes(address: string): Buffer {
  const [head = '', tail] = address.split('::')
  const groups = (part: string | undefined) => (part ? part.split(':') : [])
  const missing = 8 - groups(head).length - groups(tail).length
  const all = [...groups(head), ...Array<string>(Math.max(0, missing)).fill('0'), ...groups(tail)]
  const bytes = Buffer.alloc(16)
  all.forEach((group, index) => bytes.writeUInt16BE(Number.parseInt(group, 16), index * 2))
  return bytes
}

function addressBytes(address: string, type: number): Buffer | undefined {
  if (type === recordType.a && isIPv4(address)) return Buffer.from(address.split('.').map(Number))
  if (type === recordType.aaaa && isIPv6(address) && !address.includes('.')) return ipv6Bytes(address)
  return undefined
}

/**
 * The answer to a query: those of `addresses` that are of its type, at most sixteen; none means that the name has
 * no such record. `undefined` stands for a name that does not exist.
 */
export function formatDnsAnswer(
  { question, type }: DnsQuery,
  addresses: readonly string[] | undefined,
): Buffer {
  const found = (addresses ?? []).flatMap((address) => addressBytes(address, type) ?? []).slice(0, 16)
  const records = found.map((data) => {
    const record = Buffer.alloc(12)
    record.writeUInt16BE(0xc000 | headerBytes, 0) // the name of the question
    record.writeUInt16BE(type, 2)
    record.writeUInt16BE(classInternet, 4)
    record.writeUInt32BE(answerTtlSeconds, 6)
    record.writeUInt16BE(data.length, 10)
    return Buffer.concat([record, data])
  })
  const head = Buffer.from(question)
  const recursionDesired = head.readUInt16BE(2) & 0x0100
  head.writeUInt16BE(0x8080 | recursionDesired | (addresses === undefined ? 3 : 0), 2)
  head.writeUInt16BE(records.length, 6)
  head.writeUInt32BE(0, 8) // no authority, no additional records
  return Buffer.concat([head, ...records])
}
