import { readdirSync, readFileSync } from 'node:fs'

/** A file of /proc; empty for what has gone meanwhile. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

/** A process and all that descend from it. */
export function treeOf(pid: number): number[] {
  const children = read(`/proc/${pid}/task/${pid}/children`).trim()
  return [pid, ...(children === '' ? [] : children.split(' ').flatMap((child) => treeOf(Number(child))))]
}

/** CPU time of all threads of these processes so far, in microseconds, as the scheduler counts it. */
export function cpuMicros(pids: readonly number[]): number {
  let nanoseconds = 0
  for (const pid of pids) {
    const tasks = `/proc/${pid}/task`
    for (const tid of readdirSync(tasks)) {
      nanoseconds += Number(read(`${tasks}/${tid}/schedstat`).split(' ')[0])
    }
  }
  return nanoseconds / 1000
}

/**
 * Memory of these processes in KiB: `resident` counts pages that they share once for each, `proportional` once in
 * all (smaps_rollup).
 */
export function memoryKib(pids: readonly number[]): { resident: number; proportional: number } {
  const sum = (label: string) =>
    pids.reduce((total, pid) => {
      const found = new RegExp(`^${label}:\\s+([0-9]+) kB$`, 'm').exec(read(`/proc/${pid}/smaps_rollup`))
      return total + Number(found?.[1] ?? 0)
    }, 0)
  return { resident: sum('Rss'), proportional: sum('Pss') }
}
