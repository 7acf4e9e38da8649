import { readdirSync, readFileSync } from 'node:fs'

/** CPU time of all threads of a process so far, in microseconds, as the scheduler counts it. */
export function cpuMicros(pid: number): number {
  const tasks = `/proc/${pid}/task`
  const nanoseconds = readdirSync(tasks).map((tid) =>
    Number(readFileSync(`${tasks}/${tid}/schedstat`, 'utf8').split(' ')[0]),
  )
  return nanoseconds.reduce((sum, value) => sum + value, 0) / 1000
}

/** Resident memory of a process, in MiB. */
export function rssMiB(pid: number): number {
  const [, kib] = /^VmRSS:\s+([0-9]+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))!
  return Number(kib) / 1024
}
