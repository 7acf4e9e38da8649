/**
 * `npm run bench [-- --json FILE] [--seconds N] [--rounds N]`: the signing path with keep-alive against a direct
 * connection to the same upstream, in alternated rounds. Says what it measures; judges nothing.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { systemClock } from '#base/clock'
import { createRootCertificate, issueCertificate } from '#model/pki'
import type { LoadOrder, LoadResult, ProxyOrder, Ready, UpstreamOrder } from './messages.ts'
import { cpuMicros, rssMiB } from './usage.ts'

interface Cell {
  readonly candidate: 'tideway' | 'direct'
  readonly workload: string
  readonly requestsPerSecond: number
  /** Of the process under test; null for a direct connection, which has none. */
  readonly cpuMicrosPerRequest: number | null
  readonly p50Ms: number
  readonly p99Ms: number
  readonly rssMiB: number | null
}

const host = 'bedrock-agent-runtime.us-east-1.amazonaws.com'
const connectionCounts = [1, 16, 64]
const warmUpSeconds = 1

const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    seconds: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '5' },
  },
})
const seconds = Number(values.seconds)
const rounds = Number(values.rounds)
if (!(seconds > 0) || !(rounds >= 1)) throw new TypeError('--seconds and --rounds are positive numbers')

const children = new Set<ChildProcess>()

function start(script: string, order: UpstreamOrder | ProxyOrder | LoadOrder): ChildProcess {
  const child = fork(new URL(script, import.meta.url), { env: {} })
  children.add(child)
  child.once('exit', () => children.delete(child))
  child.send(order)
  return child
}

async function answer<T>(child: ChildProcess): Promise<T> {
  const stopped = once(child, 'exit').then(([code]) => {
    throw new Error(`${child.spawnfile} ended with ${code} before its answer`)
  })
  const [message] = (await Promise.race([once(child, 'message'), stopped])) as [T]
  return message
}

function upstreamIdentity() {
  const now = systemClock.now()
  const life = () => ({ serial: randomBytes(16), notBefore: now - 3_600_000, notAfter: now + 86_400_000 })
  const root = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const leaf = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const ca = createRootCertificate(root.privateKey, { commonName: 'bench upstream root', ...life() })
  const certificate = issueCertificate({ key: root.privateKey, certificate: ca }, leaf.publicKey, {
    names: [{ type: 'dns', value: host }],
    extendedUsages: ['serverAuth'],
    ...life(),
  })
  const keyPem = leaf.privateKey.export({ type: 'pkcs8', format: 'pem' })
  return { keyPem, certPem: certificate.toString(), caPem: ca.toString() }
}

/** About what an AWS SDK sends with a GET: 13 headers, 600 bytes. */
function request(port: number): string {
  return [
    'GET /agents/AGENT123/agentAliases/ALIAS456/sessions/session-001/text?maxResults=25 HTTP/1.1',
    `Host: ${host}:${port}`,
    'Accept: application/json',
    'Accept-Encoding: identity',
    'User-Agent: Boto3/1.40.1 md/Botocore#1.40.1 ua/2.1 os/linux#6.1.0 md/arch#x86_64 lang/python#3.13.1 cfg/retry-mode#standard',
    'amz-sdk-invocation-id: 4f8a8a4e-8d39-4bb1-a9f5-0d6d2fba2f10',
    'amz-sdk-request: attempt=1',
    'Content-Type: application/json',
    'X-Trace: 0123456789abcdef0123456789abcdef',
    'Cache-Control: no-cache',
    'Pragma: no-cache',
    'Accept-Language: en',
    'Connection: keep-alive',
    '',
    '',
  ].join('\r\n')
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

function spread(numbers: readonly (number | null)[], digits: number): string {
  const known = numbers.filter((value) => value !== null)
  if (known.length === 0) return '-'
  const format = (value: number) => value.toFixed(digits)
  return `${format(median(known))} [${format(Math.min(...known))}..${format(Math.max(...known))}]`
}

async function measure(
  proxy: { pid: number; port: number; caPem: string },
  upstream: { port: number; caPem: string },
) {
  const cells: Cell[] = []

  async function cell(candidate: Cell['candidate'], connections: number, duration: number): Promise<Cell> {
    const { port, caPem } = candidate === 'tideway' ? proxy : upstream
    const before = cpuMicros(proxy.pid)
    const load = start('./load.ts', {
      host,
      port,
      caPem,
      connections,
      seconds: duration,
      request: request(upstream.port),
    })
    const result = await answer<LoadResult>(load)
    const spent = cpuMicros(proxy.pid) - before
    const through = candidate === 'tideway'
    return {
      candidate,
      workload: `GET keep-alive c${connections}`,
      requestsPerSecond: result.requests / result.seconds,
      cpuMicrosPerRequest: through ? spent / result.requests : null,
      p50Ms: result.p50Ms,
      p99Ms: result.p99Ms,
      rssMiB: through ? rssMiB(proxy.pid) : null,
    }
  }

  for (const connections of connectionCounts) await cell('tideway', connections, warmUpSeconds)
  for (let round = 0; round < rounds; round += 1) {
    for (const connections of connectionCounts) {
      const order = ['direct', 'tideway'] as const
      for (const candidate of round % 2 === 0 ? order : order.toReversed()) {
        cells.push(await cell(candidate, connections, seconds))
      }
    }
  }
  return cells
}

function print(cells: readonly Cell[]): void {
  const rows = [['workload', 'candidate', 'req/s', 'CPU us/req', 'p50 ms', 'p99 ms', 'RSS MiB']]
  for (const connections of connectionCounts) {
    for (const candidate of ['direct', 'tideway']) {
      const workload = `GET keep-alive c${connections}`
      const mine = cells.filter((cell) => cell.workload === workload && cell.candidate === candidate)
      rows.push([
        workload,
        candidate,
        spread(
          mine.map((cell) => cell.requestsPerSecond),
          0,
        ),
        spread(
          mine.map((cell) => cell.cpuMicrosPerRequest),
          1,
        ),
        spread(
          mine.map((cell) => cell.p50Ms),
          2,
        ),
        spread(
          mine.map((cell) => cell.p99Ms),
          2,
        ),
        spread(
          mine.map((cell) => cell.rssMiB),
          0,
        ),
      ])
    }
  }
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  for (const row of rows)
    console.log(
      row
        .map((text, column) => text.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
}

try {
  const identity = upstreamIdentity()
  const upstream = await answer<Ready>(start('./upstream.ts', identity))
  const child = start('./proxy.ts', { host, upstreamPort: upstream.port, upstreamCaPem: identity.caPem })
  const proxy = await answer<Ready>(child)
  console.log(
    [
      `Signing path with keep-alive: client -TLS-> one tideway process -TLS-> upstream, SigV4 on every request,`,
      `against the same client and upstream without it. ${rounds} rounds of ${seconds} s a cell, alternated;`,
      `median [min..max] over the rounds. CPU: all threads of the tideway process, from schedstat.`,
      `Attestation and the audit spool are stand-ins that answer at once. Node ${process.version}, ${cpus()[0]?.model},`,
      `${availableParallelism()} cores shared by client, proxy and upstream; load average ${loadavg()[0]!.toFixed(2)} at the start.`,
      '',
    ].join('\n'),
  )
  const cells = await measure(
    { pid: child.pid!, port: proxy.port, caPem: proxy.caPem! },
    { port: upstream.port, caPem: identity.caPem },
  )
  print(cells)
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(cells, undefined, 2)}\n`)
} finally {
  for (const running of children) running.kill()
}
