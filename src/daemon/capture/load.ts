// Loads a packed object: a loader program made by bpftool runs in the kernel, creates the maps, relocates the
// programs for this kernel and loads them.
import { closeSync } from 'node:fs'
import { allocateMemory, errorName, type Memory } from '#base/syscall'
import { Fault } from '#base/errors'
import { BpfProgram, createArrayMap, loadSyscallProgram, untilVerified, updateElement } from './bpf.ts'

const contextHeaderBytes = 24 // struct bpf_loader_ctx: size, flags, log level, log size, log buffer
const mapDescriptorBytes = 16 // struct bpf_map_desc: descriptor, entries, initial value
const programDescriptorBytes = 4
const logBytes = 1 << 20

/** The programs and maps in the kernel: they live as long as a descriptor, a pin or a link holds them. */
export interface LoadedObject extends Disposable {
  readonly maps: ReadonlyMap<string, number>
  readonly programs: ReadonlyMap<string, number>
}

/** An object as native/capture/pack.ts leaves it; `data` and `instructions` in Base64. */
export interface PackedObject {
  readonly maps: readonly string[]
  readonly programs: readonly string[]
  readonly data: string
  readonly instructions: string
}

interface Placed {
  readonly memory: Memory
  readonly data: number
  readonly dataBytes: number
  readonly instructions: number
  readonly instructionBytes: number
  readonly key: number
  readonly descriptors: number
  readonly license: number
  readonly log: number
}

/** Lays out all that the kernel reads or writes in one piece of memory. */
function place(packed: PackedObject, logged: boolean): Placed {
  const data = Buffer.from(packed.data, 'base64')
  const instructions = Buffer.from(packed.instructions, 'base64')
  let end = 0
  const take = (length: number) => {
    const start = end
    end += (length + 63) & ~63
    return start
  }
  const at = {
    data: take(data.length),
    instructions: take(instructions.length),
    key: take(4),
    descriptors: take(4),
    license: take(16),
    log: take(logged ? logBytes : 0),
  }
  const memory = allocateMemory(end)
  data.copy(memory.bytes, at.data)
  instructions.copy(memory.bytes, at.instructions)
  memory.bytes.write('Dual BSD/GPL', at.license)
  return { memory, ...at, dataBytes: data.length, instructionBytes: instructions.length }
}

/** Runs the loader; gives its result, 0 or minus an error number, and the descriptors that it left. */
function runLoader(
  packed: PackedObject,
  placed: Placed,
  logged: boolean,
): { result: number; context: Buffer } {
  const { memory } = placed
  const at = (offset: number) => memory.address + BigInt(offset)
  const map = createArrayMap('__loader.map', placed.dataBytes)
  try {
    updateElement(map, at(placed.key), at(placed.data))
    memory.bytes.writeUInt32LE(map, placed.descriptors)
    const fd = loadSyscallProgram({
      name: '__loader.prog',
      instructions: at(placed.instructions),
      instructionCount: placed.instructionBytes / 8,
      license: at(placed.license),
      descriptors: at(placed.descriptors),
    })
    const contextBytes =
      contextHeaderBytes +
      mapDescriptorBytes * packed.maps.length +
      programDescriptorBytes * packed.programs.length
    using loader = new BpfProgram(fd, contextBytes)
    const { context } = loader
    context.writeUInt32LE(contextBytes, 0)
    if (logged) {
      context.writeUInt32LE(1, 8)
      context.writeUInt32LE(logBytes, 12)
      context.writeBigUInt64LE(at(placed.log), 16)
    }
    return { result: loader.run(), context }
  } finally {
    closeSync(map)
  }
}

function lastLines(placed: Placed): string {
  const { bytes } = placed.memory
  const text = bytes.toString('utf8', placed.log, bytes.indexOf(0, placed.log))
  return text.trim().split('\n').slice(-6).join('; ')
}

/**
 * Loads programs and maps; nothing is attached yet. Needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN.
 * @throws Fault SYSCALL_FAILED when the kernel lets us load nothing at all; CAPTURE_UNAVAILABLE when it refuses
 *   one of our programs, with the end of the verifier's log
 */
export function loadObject(packed: PackedObject): LoadedObject {
  const { result, context } = untilVerified(() => runLoader(packed, place(packed, false), false))
  if (result < 0) {
    // The log makes the kernel fail on a short buffer, so it is asked for only to explain a refusal.
    const explained = place(packed, true)
    runLoader(packed, explained, true)
    throw new Fault('CAPTURE_UNAVAILABLE', `the kernel refuses the capture program: ${errorName(-result)}`, {
      hint: lastLines(explained),
    })
  }
  const programs = contextHeaderBytes + mapDescriptorBytes * packed.maps.length
  const loaded = {
    maps: new Map(
      packed.maps.map((name, index) => [
        name,
        context.readInt32LE(contextHeaderBytes + mapDescriptorBytes * index),
      ]),
    ),
    programs: new Map(
      packed.programs.map((name, index) => [
        name,
        context.readInt32LE(programs + programDescriptorBytes * index),
      ]),
    ),
  }
  return {
    ...loaded,
    [Symbol.dispose]() {
      for (const fd of [...loaded.maps.values(), ...loaded.programs.values()]) closeSync(fd)
    },
  }
}
