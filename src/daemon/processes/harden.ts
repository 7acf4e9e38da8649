import process from 'node:process'
import { setDumpable } from '#base/syscall'

/**
 * What every process that holds secrets does first (security rule 21): nobody of the same user may read its
 * memory, no core dump, no diagnostic report.
 */
export function hardenProcess(): void {
  setDumpable(false)
  process.report.reportOnFatalError = false
  process.report.reportOnSignal = false
  process.report.reportOnUncaughtException = false
}
