import assert from 'node:assert/strict'
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Native } from './native.ts'
import type { SyscallNumbers } from './numbers.ts'

const CLOCK_MONOTONIC = 1
const ENOENT = 2
const EBADF = 9
const EFAULT = 14

/** `gc()` of V8, which is there once its flag is set. */
function garbageCollector(): () => void {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as () => void
}

/** What every way to make system calls has to do. */
export function nativeContract(native: Native, numbers: SyscallNumbers): void {
  it('gives results as they are', () => {
    assert.equal(native.call(numbers.getpid), process.pid)
  })

  it('gives errors as negative numbers', () => {
    assert.equal(native.call(numbers.close, -1), -EBADF)
    assert.equal(native.call(numbers.clockGettime, CLOCK_MONOTONIC, 8), -EFAULT)
    assert.equal(native.call(numbers.close, -1), -EBADF)
  })

  it('passes addresses of more than 32 bits, which the kernel reads and writes', () => {
    const { address, bytes } = native.allocate(16)
    assert.ok(address > 0xffff_ffffn)
    const before = process.hrtime.bigint()
    assert.equal(native.call(numbers.clockGettime, CLOCK_MONOTONIC, address), 0)
    const seen = bytes.readBigInt64LE(0) * 1_000_000_000n + bytes.readBigInt64LE(8)
    assert.ok(seen >= before && seen <= process.hrtime.bigint())
  })

  it('passes all six arguments in their order', () => {
    const folder = mkdtempSync(join(tmpdir(), 'tideway-syscall-'))
    const path = join(folder, 'file')
    writeFileSync(path, Buffer.alloc(4097, 'a'))
    const fd = openSync(path, 'r')
    try {
      // The second page of the file, private and readable, in place of a page of ours.
      const { address, bytes } = native.allocate(4096)
      const MAP_PRIVATE_FIXED = 0x12
      const mapped = native.call(numbers.mmap, address, 4096, 1, MAP_PRIVATE_FIXED, fd, 4096)
      assert.equal(mapped, Number(address))
      assert.equal(bytes.toString('latin1', 0, 2), 'a\0')
    } finally {
      closeSync(fd)
      rmSync(folder, { recursive: true })
    }
  })

  it('gives zeroed memory that stays where it is', () => {
    const first = native.allocate(100_000)
    const second = native.allocate(16)
    assert.equal(first.bytes.length, 100_000)
    assert.ok(first.bytes.every((byte) => byte === 0))
    first.bytes.fill(0xff)
    assert.ok(second.bytes.every((byte) => byte === 0))
  })

  it('gives the pages of freed memory back, wherever in the heap they lie', () => {
    const collect = garbageCollector()
    let held = Array.from({ length: 4_000 }, () => Buffer.alloc(16 << 10, 1))
    held = held.filter((_, index) => index % 1_000 === 999)
    collect()
    collect() // buffers that the first found unused are freed while the second begins
    const before = process.memoryUsage.rss()
    native.trim()
    assert.ok(before - process.memoryUsage.rss() > 32 << 20)
    assert.equal(held.length, 4)
  })

  it('keeps the error number apart from what the runtime does meanwhile', () => {
    const { address, bytes } = native.allocate(64)
    bytes.write('/nowhere/at/all')
    for (let round = 0; round < 2000; round++) {
      const result = native.call(numbers.umount2, address, 0)
      assert.ok(result === -ENOENT || result === -1, String(result))
    }
  })
}
