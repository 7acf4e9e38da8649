import { closeSync } from 'node:fs'
import { allocateMemory } from '#base/syscall'
import { openPinned, runProgram } from './bpf.ts'
import { layout, writeProcess, type CapturedProcess } from './layout.ts'
import { inspectorPath } from './pins.ts'

/** Asks the kernel whether processes are still what they were at connect. */
export interface Inspector extends Disposable {
  /** Whether this very image runs now, with the same credentials in the same cgroup. */
  isStill(process: CapturedProcess): boolean
}

/** Undefined where the kernel takes no inspector. @throws Fault SYSCALL_FAILED */
export function openInspector(pinDirectory: string): Inspector | undefined {
  const program = openPinned(inspectorPath(pinDirectory))
  if (program === undefined) return undefined
  const { address, bytes } = allocateMemory(layout.process_pin.size)
  return {
    isStill(process) {
      writeProcess(process, bytes)
      return runProgram(program, address, layout.process_pin.size) === 1
    },
    [Symbol.dispose]() {
      closeSync(program)
    },
  }
}
