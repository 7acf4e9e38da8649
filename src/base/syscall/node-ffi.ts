import { nativeFrom, type Native, type Word } from './native.ts'

/** Most arguments are zero, and making a bigint is what a call mostly costs. */
function big(word: Word): bigint {
  return word === 0 ? 0n : BigInt(word)
}

/** Through `node:ffi`; undefined where this runtime has none. */
export function openNodeFfi(mmap: number): Native | undefined {
  const ffi = process.getBuiltinModule('node:ffi')
  if (!ffi) return undefined
  // null is the program itself, which has its C library loaded under whatever name that goes by.
  const { functions } = ffi.dlopen(null, {
    syscall: { arguments: ['i64', 'i64', 'i64', 'i64', 'i64', 'i64', 'i64'], return: 'i64' },
    __errno_location: { arguments: [], return: 'u64' },
    malloc_trim: { arguments: ['u64'], return: 'i32' },
  })
  const errnoAddress = functions.__errno_location()
  return nativeFrom(
    {
      name: 'node:ffi',
      syscall: (number, a, b, c, d, e, f) =>
        functions.syscall(BigInt(number), big(a), big(b), big(c), big(d), big(e), big(f)),
      errno: () => ffi.getInt32(errnoAddress),
      view: (address, length) => Buffer.from(ffi.toArrayBuffer(address, length, false)),
      trim: () => void functions.malloc_trim(0n),
    },
    mmap,
  )
}
