import { createRequire } from 'node:module'
import { nativeFrom, type Native } from './native.ts'

/** Through koffi; undefined where it is not installed or has no binary for this machine. */
export function openKoffi(mmap: number): Native | undefined {
  let koffi: typeof import('koffi')
  try {
    koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi')
  } catch {
    return undefined
  }
  const syscall = koffi
    .load(null)
    .func('int64_t syscall(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t)')
  return nativeFrom(
    {
      name: 'koffi',
      syscall: (number, [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0]) =>
        BigInt(syscall(number, a, b, c, d, e, f) as number | bigint),
      errno: () => koffi.errno(),
      view: (address, length) => Buffer.from(koffi.view(address, length)),
    },
    mmap,
  )
}
