import type { ProcessPin } from '#model/identity'

/** Whether both describe the same image of the same process: no exec, no change of credentials or cgroup between. */
export function samePin(a: ProcessPin, b: ProcessPin): boolean {
  return pinKey(a) === pinKey(b)
}

/** A text that two pins share exactly when they are the same: for map keys. */
export function pinKey(pin: ProcessPin): string {
  const { pid, startTicks, exeDevice, exeInode, uid, gid, cgroupId } = pin
  return `${pid} ${startTicks} ${exeDevice} ${exeInode} ${uid} ${gid} ${cgroupId}`
}
