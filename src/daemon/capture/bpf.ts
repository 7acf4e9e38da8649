// bpf(2), see include/uapi/linux/bpf.h: the commands that we use, on memory that never moves.
import { closeSync } from 'node:fs'
import { allocateMemory, must, syscall, type Memory } from '#base/syscall'

const command = {
  mapCreate: 0,
  lookup: 1,
  update: 2,
  delete: 3,
  nextKey: 4,
  programLoad: 5,
  pin: 6,
  get: 7,
  programRun: 10,
  infoByFd: 15,
  rawTracepointOpen: 17,
  lookupAndDelete: 21,
  linkCreate: 28,
  linkUpdate: 29,
  linkDetach: 34,
} as const

const BPF_ANY = 0
const BPF_EXIST = 2
const ENOENT = 2

/** Twice the largest map: the kernel starts over when the key it stood at goes away. */
const maxKeys = 65536

const textOffset = 1024
let page: Memory | undefined

/** Calls bpf(2) with the attributes that `fill` writes; gives the result or minus the error number. */
function attempt(name: keyof typeof command, size: number, fill: (attributes: Buffer, base: bigint) => void) {
  page ??= allocateMemory(4096)
  page.bytes.fill(0)
  fill(page.bytes, page.address)
  return syscall('bpf', command[name], page.address, size)
}

/** Writes `text` and a pointer to it. */
function pointAtText(attributes: Buffer, base: bigint, offset: number, text: string): void {
  if (Buffer.byteLength(text) > 2048) throw new TypeError('a path of more than 2048 bytes')
  attributes.write(text, textOffset)
  attributes.writeBigUInt64LE(base + BigInt(textOffset), offset)
}

/** @throws Fault SYSCALL_FAILED */
export function createArrayMap(name: string, valueSize: number): number {
  const result = attempt('mapCreate', 72, (attributes) => {
    attributes.writeUInt32LE(2, 0) // BPF_MAP_TYPE_ARRAY
    attributes.writeUInt32LE(4, 4)
    attributes.writeUInt32LE(valueSize, 8)
    attributes.writeUInt32LE(1, 12)
    attributes.write(name, 28)
  })
  return must('create a BPF map', result)
}

/** @throws Fault SYSCALL_FAILED */
export function updateElement(map: number, key: bigint, value: bigint): void {
  const result = attempt('update', 32, (attributes) => {
    attributes.writeUInt32LE(map, 0)
    attributes.writeBigUInt64LE(key, 8)
    attributes.writeBigUInt64LE(value, 16)
  })
  must('write a BPF map', result)
}

const EAGAIN = 11
const maxAttempts = 50

/** The verifier gives up with EAGAIN when a signal is pending, as one often is while children of ours come and go. */
export function untilVerified<T extends { readonly result: number }>(load: () => T): T {
  for (let attempts = 1; ; attempts++) {
    const loaded = load()
    if (loaded.result !== -EAGAIN || attempts === maxAttempts) return loaded
  }
}

/** Loads a program of type BPF_PROG_TYPE_SYSCALL. @throws Fault SYSCALL_FAILED */
export function loadSyscallProgram(options: {
  readonly name: string
  readonly instructions: bigint
  readonly instructionCount: number
  readonly license: bigint
  readonly descriptors: bigint
}): number {
  const BPF_PROG_TYPE_SYSCALL = 31
  const BPF_F_SLEEPABLE = 1 << 4
  const { result } = untilVerified(() => ({
    result: attempt('programLoad', 128, (attributes) => {
      attributes.writeUInt32LE(BPF_PROG_TYPE_SYSCALL, 0)
      attributes.writeUInt32LE(options.instructionCount, 4)
      attributes.writeBigUInt64LE(options.instructions, 8)
      attributes.writeBigUInt64LE(options.license, 16)
      attributes.writeUInt32LE(BPF_F_SLEEPABLE, 44)
      attributes.write(options.name, 48)
      attributes.writeBigUInt64LE(options.descriptors, 120)
    }),
  }))
  return must('load a BPF program', result)
}

/** @throws Fault SYSCALL_FAILED */
export function linkToCgroup(program: number, cgroup: number, attachType: number): number {
  const result = attempt('linkCreate', 48, (attributes) => {
    attributes.writeUInt32LE(program, 0)
    attributes.writeUInt32LE(cgroup, 4)
    attributes.writeUInt32LE(attachType, 8)
  })
  return must('attach a BPF program to the cgroup', result)
}

/** @throws Fault SYSCALL_FAILED */
export function linkToTracepoint(program: number, tracepoint: string): number {
  const result = attempt('rawTracepointOpen', 16, (attributes, base) => {
    pointAtText(attributes, base, 0, tracepoint)
    attributes.writeUInt32LE(program, 8)
  })
  return must(`attach a BPF program to ${tracepoint}`, result)
}

/** Puts `program` in the place of what the link runs now, at once. @throws Fault SYSCALL_FAILED */
export function replaceProgram(link: number, program: number): void {
  const result = attempt('linkUpdate', 16, (attributes) => {
    attributes.writeUInt32LE(link, 0)
    attributes.writeUInt32LE(program, 4)
  })
  must('replace a BPF program', result)
}

/** Detaches the link, whoever else holds it. @throws Fault SYSCALL_FAILED */
export function detachLink(link: number): void {
  must(
    'detach a BPF program',
    attempt('linkDetach', 4, (attributes) => void attributes.writeUInt32LE(link, 0)),
  )
}

/** @throws Fault SYSCALL_FAILED */
export function pinObject(fd: number, path: string): void {
  const result = attempt('pin', 16, (attributes, base) => {
    pointAtText(attributes, base, 0, path)
    attributes.writeUInt32LE(fd, 8)
  })
  must(`pin ${path}`, result)
}

/** A descriptor of what is pinned at `path`; undefined when there is nothing. @throws Fault SYSCALL_FAILED */
export function openPinned(path: string): number | undefined {
  const result = attempt('get', 16, (attributes, base) => pointAtText(attributes, base, 0, path))
  return result === -ENOENT ? undefined : must(`open ${path}`, result)
}

function objectInfo(fd: number): Buffer {
  const result = attempt('infoByFd', 16, (attributes, base) => {
    attributes.writeUInt32LE(fd, 0)
    attributes.writeUInt32LE(512, 4)
    attributes.writeBigUInt64LE(base + BigInt(textOffset), 8)
  })
  must('describe a BPF object', result)
  return page!.bytes.subarray(textOffset, textOffset + 512)
}

export function mapShape(fd: number): { key: number; value: number; maxEntries: number } {
  const info = objectInfo(fd)
  return { key: info.readUInt32LE(8), value: info.readUInt32LE(12), maxEntries: info.readUInt32LE(16) }
}

/** `cgroupId` is meaningless for links to tracepoints. */
export function linkInfo(fd: number): { id: number; programId: number; cgroupId: bigint } {
  const info = objectInfo(fd)
  return { id: info.readUInt32LE(4), programId: info.readUInt32LE(8), cgroupId: info.readBigUInt64LE(16) }
}

/**
 * An open map. Attributes, key and value live in memory of their own, so that an operation is one call that
 * allocates nothing: write `key` (and `value`), call, read `value`. Its memory outlives it (`allocateMemory`):
 * open once.
 */
export class BpfMap implements Disposable {
  readonly fd: number
  readonly key: Buffer
  readonly value: Buffer
  readonly #next: Buffer
  readonly #attributes: Buffer
  readonly #address: bigint
  readonly #valueAddress: bigint
  readonly #nextAddress: bigint

  constructor(fd: number, shape: { readonly key: number; readonly value: number }) {
    const aligned = (length: number) => (length + 7) & ~7
    const keyOffset = 64
    const nextOffset = keyOffset + aligned(shape.key)
    const valueOffset = nextOffset + aligned(shape.key)
    const { address, bytes } = allocateMemory(valueOffset + aligned(shape.value))
    this.fd = fd
    this.#address = address
    this.#valueAddress = address + BigInt(valueOffset)
    this.#nextAddress = address + BigInt(nextOffset)
    this.#attributes = bytes
    this.key = bytes.subarray(keyOffset, keyOffset + shape.key)
    this.#next = bytes.subarray(nextOffset, nextOffset + shape.key)
    this.value = bytes.subarray(valueOffset, valueOffset + shape.value)
    bytes.writeUInt32LE(fd, 0)
    bytes.writeBigUInt64LE(address + BigInt(keyOffset), 8)
    bytes.writeBigUInt64LE(this.#valueAddress, 16)
  }

  /** Reads `value` of `key`; false when there is none. */
  lookup(): boolean {
    return this.#found('look up in', syscall('bpf', command.lookup, this.#address, 32))
  }

  /** Reads `value` of `key` and deletes it, in one step; false when there is none. */
  take(): boolean {
    return this.#found('take from', syscall('bpf', command.lookupAndDelete, this.#address, 32))
  }

  /** @throws Fault SYSCALL_FAILED, with E2BIG when the map is full */
  update(): void {
    this.#attributes.writeBigUInt64LE(BigInt(BPF_ANY), 24)
    must('write a BPF map', syscall('bpf', command.update, this.#address, 32))
  }

  /** Writes `value` only where `key` has one; whether it had. */
  replace(): boolean {
    this.#attributes.writeBigUInt64LE(BigInt(BPF_EXIST), 24)
    const result = syscall('bpf', command.update, this.#address, 32)
    this.#attributes.writeBigUInt64LE(BigInt(BPF_ANY), 24)
    return this.#found('write', result)
  }

  delete(): boolean {
    return this.#found('delete from', syscall('bpf', command.delete, this.#address, 16))
  }

  /** All keys, copied, at most `maxKeys`. Keys that come or go meanwhile may be missed or seen twice. */
  keys(): Buffer[] {
    const found: Buffer[] = []
    this.#attributes.writeBigUInt64LE(0n, 8)
    this.#attributes.writeBigUInt64LE(this.#nextAddress, 16)
    try {
      while (found.length < maxKeys && syscall('bpf', command.nextKey, this.#address, 24) === 0) {
        found.push(Buffer.from(this.#next))
        this.#next.copy(this.key)
        this.#attributes.writeBigUInt64LE(this.#address + 64n, 8)
      }
    } finally {
      this.#attributes.writeBigUInt64LE(this.#address + 64n, 8)
      this.#attributes.writeBigUInt64LE(this.#valueAddress, 16)
    }
    return found
  }

  #found(what: string, result: number): boolean {
    if (result === -ENOENT) return false
    must(`${what} a BPF map`, result)
    return true
  }

  [Symbol.dispose](): void {
    closeSync(this.fd)
  }
}

/**
 * A program that user space runs (BPF_PROG_TYPE_SYSCALL), with a context of its own: write `context`, run. As with
 * maps, its memory outlives it.
 */
export class BpfProgram implements Disposable {
  readonly fd: number
  readonly context: Buffer
  readonly #attributes: Buffer
  readonly #address: bigint

  constructor(fd: number, contextBytes: number) {
    const contextOffset = 128
    const { address, bytes } = allocateMemory(contextOffset + contextBytes)
    this.fd = fd
    this.context = bytes.subarray(contextOffset)
    this.#attributes = bytes
    this.#address = address
    bytes.writeUInt32LE(fd, 0)
    bytes.writeUInt32LE(contextBytes, 40)
    bytes.writeBigUInt64LE(address + BigInt(contextOffset), 48)
  }

  /** What the program returns. @throws Fault SYSCALL_FAILED */
  run(): number {
    must('run a BPF program', syscall('bpf', command.programRun, this.#address, 80))
    return this.#attributes.readInt32LE(4)
  }

  [Symbol.dispose](): void {
    closeSync(this.fd)
  }
}
