import { createRequire } from 'node:module'
import { nativeFrom, type Native, type Word } from './native.ts'

/** Through koffi; undefined where it is not installed or has no binary for this machine. */
export function openKoffi(mmap: number): Native | undefined {
  let koffi: typeof import('koffi')
  try {
    koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi')
  } catch {
    return undefined
  }
  const program = koffi.load(null)
  const syscall = program.func(
    'int64_t syscall(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t)',
  )
  const trim = program.func('int malloc_trim(size_t)')
  return nativeFrom(
    {
      name: 'koffi',
      syscall: (number, a, b, c, d, e, f) => syscall(number, a, b, c, d, e, f) as Word,
      errno: () => koffi.errno(),
      view: (address, length) => Buffer.from(koffi.view(address, length)),
      trim: () => void trim(0),
    },
    mmap,
  )
}
