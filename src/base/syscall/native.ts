/** Memory outside the JavaScript heap, at a fixed address that the kernel may read and write. */
export interface Memory {
  readonly address: bigint
  readonly bytes: Buffer
}

/** An argument of a system call. */
export type Word = number | bigint

/**
 * The whole of what we ask from foreign code: system calls, memory, and to be rid of memory. Every argument is an
 * integer (number, flag, descriptor or address), so that there is hardly a signature to get wrong.
 */
export interface Native {
  readonly name: 'node:ffi' | 'koffi'
  /** syscall(2). Gives the result, or minus the error number. */
  call(number: number, a?: Word, b?: Word, c?: Word, d?: Word, e?: Word, f?: Word): number
  /**
   * Zeroed memory. It is never given back, because a view of unmapped memory crashes the process on use:
   * allocate at start and reuse.
   * @throws RangeError when the system has no memory left
   */
  allocate(length: number): Memory
  /** malloc_trim(3): gives the system back every page in which only freed memory lies; takes a millisecond or two. */
  trim(): void
}

const PROT_READ_WRITE = 3
const MAP_PRIVATE_ANONYMOUS = 0x22
const pageBytes = 4096n

/** What an implementation has to bring; the rest is common. */
export interface ForeignCalls {
  readonly name: Native['name']
  /** syscall(2) with six 64-bit arguments: the result as it comes, -1 on error. */
  readonly syscall: (number: number, a: Word, b: Word, c: Word, d: Word, e: Word, f: Word) => Word
  readonly errno: () => number
  readonly view: (address: bigint, length: number) => Buffer
  readonly trim: () => void
}

export function nativeFrom({ name, syscall, errno, view, trim }: ForeignCalls, mmap: number): Native {
  return {
    name,
    // Spelled out, because it is called for every connection: rest parameters cost as much as the system call.
    call(number, a = 0, b = 0, c = 0, d = 0, e = 0, f = 0) {
      const result = Number(syscall(number, a, b, c, d, e, f))
      return result === -1 ? -errno() : result
    },
    allocate(length) {
      const address = BigInt(syscall(mmap, 0, length, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0))
      if (address < pageBytes) throw new RangeError(`mmap of ${length} bytes failed with error ${errno()}`)
      return { address, bytes: view(address, length) }
    },
    trim,
  }
}
