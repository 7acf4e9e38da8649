/**
 * Tideway as it runs on a node: a daemon that root started, with kernel capture for the processes of one cgroup,
 * attestation, policy, limits and the audit spool, which is shipped to a control plane in this process.
 */
import { randomBytes } from 'node:crypto'
import { mkdirSync, rmdirSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { systemClock } from '#base/clock'
import { Secret } from '#base/secret'
import { cgroupMount } from '#daemon/capture'
import { parseSpiffeId } from '#model/identity'
import { startDaemon } from '../src/daemon/program/fixture.ts'
import type { Candidate } from './peers.ts'
import { cores, host, type Place } from './place.ts'

export interface Tideway extends Candidate, AsyncDisposable {
  /** What runs in it is captured. */
  readonly cgroup: string
  /** The processes that carry connections. */
  readonly workers: readonly number[]
}

const spiffeId = parseSpiffeId('spiffe://example.org/app')
const programs = ['/usr/bin/wrk', '/usr/bin/openssl', process.execPath]

export function scopeFor(upstream: number) {
  const nothing = { identities: [], services: [], bindings: [], credentials: [] }
  const now = systemClock.now()
  const selector = { 'process:binary:path': programs, 'process:uid': ['0'] }
  return {
    revision: 1,
    reset: true,
    remove: nothing,
    upsert: {
      identities: [{ name: 'app', spiffeId, selectors: [selector], captureAll: false, intercept: true }],
      services: [
        {
          name: 'cloud',
          // The name is what TLS proves; the address is what the kernel captures on loopback.
          addresses: [
            { host, port: upstream },
            { host: '127.0.0.1', port: upstream },
          ],
        },
      ],
      bindings: [
        {
          name: 'app-cloud',
          spiffeId,
          sourceName: 'aws',
          serviceNames: ['cloud'],
          minimumCapture: 'process',
          allowCredentialIssuance: false,
        } as const,
      ],
      credentials: [
        {
          spiffeId,
          sourceName: 'aws',
          credential: {
            kind: 'aws',
            accessKeyId: 'ASIABENCH',
            secretAccessKey: Secret.of(randomBytes(30).toString('base64')),
            // As long as those of STS.
            sessionToken: Secret.of(randomBytes(700).toString('base64')),
            issuedAt: now,
            expiresAt: now + 86_400_000,
          },
        } as const,
      ],
    },
  }
}

/** Removes a cgroup as soon as its last process has been reaped. */
async function removeCgroup(path: string): Promise<void> {
  for (;;) {
    try {
      return rmdirSync(path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error
      await systemClock.sleep(50)
    }
  }
}

/** Clients connect to the upstream's own port: the kernel leads them here. `workers`: the default of the daemon's. */
export async function startTideway(
  place: Place,
  upstream: number,
  { workers, name = 'tideway' }: { workers: number; name?: string },
): Promise<Tideway> {
  const cgroup = join(cgroupMount(), `tideway-bench-${process.pid}-${workers}`)
  mkdirSync(cgroup)
  const daemon = await startDaemon('root', [
    '--capture=kernel',
    `--attach-cgroup=${cgroup}`,
    '--capture-port=0',
    `--workers=${workers}`,
    `--upstream-ca=${place.caFile}`,
  ])
  await daemon.apply(scopeFor(upstream))
  const pid = daemon.child.pid!
  for (const each of [pid, ...daemon.workers()]) {
    execFileSync('taskset', ['-a', '-p', '-c', cores.measured, String(each)], { stdio: 'ignore' })
  }
  // What was shipped is not looked at: this process would grow with it.
  const forget = setInterval(() => (daemon.server.shipped as string[]).splice(0), 100)
  return {
    name,
    port: upstream,
    pid,
    cgroup,
    get workers() {
      return daemon.workers()
    },
    async [Symbol.asyncDispose]() {
      clearInterval(forget)
      await daemon[Symbol.asyncDispose]()
      for (const below of ['tideway-daemon', '']) await removeCgroup(join(cgroup, below)).catch(() => {})
    },
  }
}
