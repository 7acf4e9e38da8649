import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isFault } from '#base/errors'
import { nativeContract } from './contract.ts'
import { openKoffi } from './koffi.ts'
import { openNodeFfi } from './node-ffi.ts'
import { syscallNumbers } from './numbers.ts'
import { selfTest } from './system.ts'

const numbers = syscallNumbers(process.platform, process.arch)

for (const open of [openNodeFfi, openKoffi]) {
  describe(`system calls by ${open.name}`, () => {
    const native = open(numbers.mmap)
    assert.ok(native)
    nativeContract(native, numbers)

    it('passes its self-test', () => assert.equal(selfTest(native, numbers), undefined))

    it('fails its self-test when results, errors or memory are wrong', () => {
      const broken = (change: Partial<typeof native>) => selfTest({ ...native, ...change }, numbers)
      assert.match(broken({ call: () => 0 }) ?? '', /getpid/)
      assert.match(
        broken({ call: (number) => (number === numbers.getpid ? process.pid : -1) }) ?? '',
        /error/,
      )
      const elsewhere = native.allocate(64).address
      const misplaced = () => ({ address: elsewhere, bytes: Buffer.alloc(64) })
      assert.match(broken({ allocate: misplaced }) ?? '', /cannot be seen/)
    })
  })
}

describe('system call numbers', () => {
  it('are known for Linux on both architectures and refused elsewhere', () => {
    assert.equal(syscallNumbers('linux', 'x64').bpf, 321)
    assert.equal(syscallNumbers('linux', 'arm64').bpf, 280)
    for (const [platform, architecture] of [
      ['darwin', 'arm64'],
      ['linux', 'ia32'],
    ] as const) {
      assert.throws(
        () => syscallNumbers(platform, architecture),
        (error) => isFault(error, 'PLATFORM_UNSUPPORTED'),
      )
    }
  })
})
