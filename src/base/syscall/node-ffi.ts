import { nativeFrom, type Native } from './native.ts'

/** Through `node:ffi`; undefined where this runtime has none. */
export function openNodeFfi(mmap: number): Native | undefined {
  const ffi = process.getBuiltinModule('node:ffi')
  if (!ffi) return undefined
  // null is the program itself, which has its C library loaded under whatever name that goes by.
  const { functions } = ffi.dlopen(null, {
    syscall: { arguments: ['i64', 'i64', 'i64', 'i64', 'i64', 'i64', 'i64'], return: 'i64' },
    __errno_location: { arguments: [], return: 'u64' },
  })
  const errnoAddress = functions.__errno_location()
  return nativeFrom(
    {
      name: 'node:ffi',
      syscall: (number, [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0]) =>
        functions.syscall(BigInt(number), BigInt(a), BigInt(b), BigInt(c), BigInt(d), BigInt(e), BigInt(f)),
      errno: () => ffi.getInt32(errnoAddress),
      view: (address, length) => Buffer.from(ffi.toArrayBuffer(address, length, false)),
    },
    mmap,
  )
}
