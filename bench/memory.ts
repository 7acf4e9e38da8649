/** What the whole daemon holds while a thousand intercepted connections wait for their next request. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '#base/clock'
import { warmUp } from './load.ts'
import { host, type Place } from './place.ts'
import { startTideway } from './tideway.ts'
import { memoryKib, treeOf } from './usage.ts'

export interface Memory {
  readonly connections: number
  readonly workers: number
  /** Growth of the workers' resident memory, over the connections. */
  readonly kibPerConnection: number
  readonly residentMib: number
  readonly proportionalMib: number
  /** Proportional MiB of each process, by what it runs. */
  readonly processes: Readonly<Record<string, number>>
}

/** A daemon with its default number of workers, first without connections, then with 1,000 that are idle. */
export async function measureMemory(place: Place, upstream: number): Promise<Memory> {
  const connections = 1_000
  const workers = Math.max(2, Math.min(4, availableParallelism()))
  await using tideway = await startTideway(place, upstream, { workers })
  await warmUp({ place, cgroup: tideway.cgroup }, tideway, upstream)
  const before = memoryKib(tideway.workers)
  const enter = `echo $$ > ${tideway.cgroup}/cgroup.procs; exec "$@"`
  const script = join(import.meta.dirname, 'idle.ts')
  const command = [process.execPath, script, String(upstream), `${host}:${upstream}`, String(connections)]
  const client = spawn('/bin/sh', ['-c', enter, 'sh', ...command], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const ended = once(client, 'exit')
  const failed = ended.then(() => Promise.reject(new Error('the client of the idle connections ended')))
  failed.catch(() => {})
  await Promise.race([once(client, 'message'), failed])
  await systemClock.sleep(5_000)
  const after = memoryKib(tideway.workers)
  const tree = treeOf(tideway.pid)
  const all = memoryKib(tree)
  const roleOf = (pid: number) =>
    pid === tideway.pid ? 'main' : tideway.workers.includes(pid) ? `worker ${pid}` : 'attestor'
  const processes = Object.fromEntries(tree.map((pid) => [roleOf(pid), memoryKib([pid]).proportional / 1024]))
  client.disconnect()
  await ended
  return {
    connections,
    workers: tideway.workers.length,
    kibPerConnection: (after.resident - before.resident) / connections,
    residentMib: all.resident / 1024,
    proportionalMib: all.proportional / 1024,
    processes,
  }
}

export function toldMemory(memory: Memory): string {
  const { connections, workers, kibPerConnection, proportionalMib, residentMib, processes } = memory
  const each = Object.entries(processes).map(([role, mib]) => `${role} ${mib.toFixed(0)}`)
  return (
    `${connections} idle intercepted connections: ${kibPerConnection.toFixed(0)} KiB each (goal 80). The daemon with ` +
    `${workers} workers then holds\n${proportionalMib.toFixed(0)} MiB, shared pages counted once (goal 220): ` +
    `${each.join(', ')}. The sum of its processes' RSS is ${residentMib.toFixed(0)} MiB.`
  )
}
