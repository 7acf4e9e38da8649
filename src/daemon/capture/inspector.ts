import { BpfProgram, openPinned } from './bpf.ts'
import { layout, writeProcess, type CapturedProcess } from './layout.ts'
import { inspectorPath } from './pins.ts'

/** Asks the kernel whether processes are still what they were at connect. */
export interface Inspector extends Disposable {
  /** Whether this very image runs now, with the same credentials in the same cgroup. */
  isStill(process: CapturedProcess): boolean
}

/** Undefined where the kernel takes no inspector. @throws Fault SYSCALL_FAILED */
export function openInspector(pinDirectory: string): Inspector | undefined {
  const fd = openPinned(inspectorPath(pinDirectory))
  if (fd === undefined) return undefined
  const program = new BpfProgram(fd, layout.process_pin.size)
  return {
    isStill(process) {
      writeProcess(process, program.context)
      return program.run() === 1
    },
    [Symbol.dispose]() {
      program[Symbol.dispose]()
    },
  }
}
