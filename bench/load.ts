/** Load on a candidate: requests of wrk, handshakes of openssl, and connections that stay. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { cores, host, type Place } from './place.ts'

export interface Load {
  readonly path: string
  readonly connections: number
  readonly seconds: number
  /** Bytes of the body of a PUT; 0 for a GET. */
  readonly body?: number
}

export interface LoadResult {
  readonly requests: number
  readonly seconds: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** Where load comes from: processes of `cgroup` are captured. */
export interface Source {
  readonly place: Place
  readonly cgroup: string | undefined
}

async function runIn(
  { place, cgroup }: Source,
  command: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<string> {
  const enter = cgroup === undefined ? '' : `echo $$ > ${cgroup}/cgroup.procs; `
  const child = spawn('/bin/sh', ['-c', `${enter}exec taskset -c "$@"`, 'sh', cores.load, ...command], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: '/usr/local/bin:/usr/bin:/bin', OPENSSL_CONF: place.clientConfig, ...env },
  })
  const ended = once(child, 'close')
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
  await ended
  if (child.exitCode !== 0) throw new Error(`${command.join(' ')}: ${stdout}${stderr}`)
  return stdout
}

/** Goes on for longer when not one request ended in time. @throws Error when one was not answered with success */
export async function sendRequests(
  source: Source,
  { name, port }: { name: string; port: number },
  upstream: number,
  { path, connections, seconds, body = 0 }: Load,
): Promise<LoadResult> {
  const script = join(import.meta.dirname, 'load.lua')
  const load = ['wrk', '-t', '1', '-c', String(connections), '--timeout', '30s', '-s', script]
  const env = { BENCH_PORT: String(port), BENCH_BODY: String(body) }
  for (let duration = Math.ceil(seconds); ; duration *= 2) {
    const url = `https://${host}:${upstream}${path}`
    const output = await runIn(source, [...load, '-d', `${duration}s`, url], env)
    const line = output.split('\n').find((candidate) => candidate.startsWith('{'))
    if (line === undefined) throw new Error(output)
    const { failed, ...result } = JSON.parse(line) as LoadResult & { failed: number }
    if (failed > 0) throw new Error(`${failed} of ${result.requests} requests through ${name} failed`)
    if (result.requests > 0) return result
    if (duration > 60) throw new Error(`${name} does not answer`)
  }
}

/** Full handshakes one after the other, nothing sent on them; how many there were. */
export async function makeHandshakes(source: Source, port: number, seconds: number): Promise<number> {
  const options = ['-connect', `127.0.0.1:${port}`, '-new', '-tls1_3', '-time', String(seconds)]
  const output = await runIn(source, ['openssl', 's_time', ...options], {})
  const [, count] = /^(\d+) connections in \d+ real seconds/m.exec(output) ?? []
  if (count === undefined) throw new Error(output)
  return Number(count)
}

/** After so many requests their CPU stays as it is: before, V8 compiles what it runs, some of it several times. */
const compiledAfter = 100_000

/** Sends until every request is answered, as capture sets in with the first heartbeat; then until it is compiled. */
export async function warmUp(
  source: Source,
  candidate: { name: string; port: number },
  upstream: number,
): Promise<void> {
  const send = (duration: number) =>
    sendRequests(source, candidate, upstream, { path: '/', connections: 16, seconds: duration })
  for (let attempt = 1; ; attempt += 1) {
    try {
      await send(1)
      break
    } catch (error) {
      if (attempt === 10) throw error
    }
  }
  for (let sent = 0; sent < compiledAfter;) sent += (await send(5)).requests
}
