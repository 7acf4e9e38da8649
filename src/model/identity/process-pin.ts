/**
 * What pins an identity to one process image for as long as it lives: never a pid alone (design invariant 2).
 * All of it comes from the kernel; the process cannot write any of it.
 */
export interface ProcessPin {
  /** Thread group id in the initial pid namespace. */
  readonly pid: number
  /** Field 22 of /proc/PID/stat: clock ticks (100 Hz) since boot at which the process started. */
  readonly startTicks: bigint
  /** Device of the executable in the kernel's encoding (MKDEV: major << 20 | minor). */
  readonly exeDevice: number
  readonly exeInode: bigint
  readonly uid: number
  readonly gid: number
  /** Inode of the process's cgroup v2 directory, which is its kernel id; 0 where unknown. */
  readonly cgroupId: bigint
}
