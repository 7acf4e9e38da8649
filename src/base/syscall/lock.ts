import { must, syscall } from './system.ts'

const LOCK_EX = 2
const LOCK_NB = 4
const EAGAIN = 11

/**
 * Locks the file or folder behind descriptor `fd` (flock(2)) until that is closed, which the end of this process
 * does as well, however it comes. False when somebody else has it locked.
 * @throws Fault SYSCALL_FAILED
 */
export function tryLock(fd: number): boolean {
  const result = syscall('flock', fd, LOCK_EX | LOCK_NB)
  return result !== -EAGAIN && must('flock', result) === 0
}
