import { readFileSync } from 'node:fs'
import type { BpfMap } from './bpf.ts'
import { counterNames, type CounterName } from './layout.ts'
import { openMap } from './pins.ts'

export type Counters = Readonly<Record<CounterName, number>>

/** How many values a per-CPU map has for each key: one per processor that the machine might ever have. */
function possibleCpus(): number {
  const last = /(\d+)\s*$/.exec(readFileSync('/sys/devices/system/cpu/possible', 'utf8'))?.[1]
  return Number(last ?? 0) + 1
}

/** @throws Fault CAPTURE_UNAVAILABLE, SYSCALL_FAILED */
export function openCounters(pinDirectory: string): BpfMap {
  return openMap(pinDirectory, 'counters', 8 * possibleCpus())
}

/** Sums over all processors, since attaching. */
export function readCounters(map: BpfMap): Counters {
  const sums = counterNames.map((name, index) => {
    map.key.writeUInt32LE(index, 0)
    map.lookup()
    let sum = 0n
    for (let offset = 0; offset < map.value.length; offset += 8) sum += map.value.readBigUInt64LE(offset)
    return [name, Number(sum)] as const
  })
  return Object.fromEntries(sums) as Record<CounterName, number>
}
