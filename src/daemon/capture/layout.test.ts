import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import captureObject from './capture.bpf.json' with { type: 'json' }
import inspectObject from './inspect.bpf.json' with { type: 'json' }
import {
  candidateKey,
  candidateKinds,
  counterNames,
  destinationKey,
  isProcess,
  layout,
  mapNames,
  policyRoom,
  readProcess,
  readRecord,
  writePeer,
  writeProcess,
  type CapturedProcess,
} from './layout.ts'
import { hooks } from './pins.ts'

const sources = new URL('../../../native/capture/', import.meta.url)

const process: CapturedProcess = {
  pid: 4242,
  startTicks: 0x1122334455n,
  exeDevice: 0xfe00000,
  exeInode: 0xaabbccddeen,
  uid: 1000,
  gid: 1001,
  cgroupId: 77n,
  image: 3n,
  effectiveUid: 1002,
  effectiveGid: 1003,
}

describe('the packed kernel objects', () => {
  it('were built from the sources beside them', () => {
    for (const [name, object] of [
      ['capture', captureObject],
      ['inspect', inspectObject],
    ] as const) {
      const hash = createHash('sha256')
      for (const file of [`${name}.bpf.c`, 'kernel.h', 'layout.h', 'pin.h']) {
        hash.update(readFileSync(new URL(file, sources)))
      }
      assert.equal(object.sources, hash.digest('hex'), `run native/capture/build.sh: ${name} is stale`)
    }
  })

  it('have the structures, counters and kinds of candidates that layout.ts mirrors', () => {
    assert.deepEqual(captureObject.structures, layout)
    assert.deepEqual(inspectObject.structures, { process_pin: layout.process_pin })
    const constant = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()
    assert.deepEqual(captureObject.counters, counterNames.map(constant))
    assert.deepEqual(
      captureObject.candidateKinds,
      candidateKinds.map((kind) => `BY_${kind.toUpperCase().replaceAll('-', '_')}`),
    )
  })

  it('have the room that we count on', () => {
    const source = readFileSync(new URL('capture.bpf.c', sources), 'utf8')
    for (const [name, room] of Object.entries(policyRoom)) {
      const [, entries] = new RegExp(`max_entries, (\\d+)\\);[^{}]*} ${name} SEC`).exec(source)!
      assert.equal(Number(entries), room, name)
    }
  })

  it('have every map and program that is pinned or attached', () => {
    for (const name of mapNames) assert.ok(captureObject.maps.includes(name), name)
    assert.deepEqual(hooks.map(({ program }) => program).toSorted(), captureObject.programs.toSorted())
  })

  it('tell nothing about the machine that built them', () => {
    for (const { data } of [captureObject, inspectObject]) {
      assert.doesNotMatch(Buffer.from(data, 'base64').toString('latin1'), /\/(home|root|work|tmp)\//)
    }
  })
})

describe('what the kernel records', () => {
  const recordBytes = () => {
    const bytes = Buffer.alloc(layout.record.size)
    writeProcess(process, bytes)
    bytes.writeUInt16BE(0xffff, layout.record.offsets.address + 10)
    bytes.set([10, 99, 0, 2], layout.record.offsets.address + 12)
    bytes.writeUInt16LE(443, layout.record.offsets.port)
    bytes.writeUInt32LE(5, layout.record.offsets.identity)
    bytes.writeUInt32LE(9, layout.record.offsets.generation)
    return bytes
  }

  it('is decoded field by field', () => {
    assert.deepEqual(readRecord(recordBytes()), {
      process,
      address: '10.99.0.2',
      port: 443,
      identity: 5,
      generation: 9,
    })
  })

  it('differs from a process as soon as one field does', () => {
    const bytes = recordBytes()
    assert.ok(isProcess(bytes, 0, process))
    for (const [field, value] of Object.entries(process) as [keyof CapturedProcess, number | bigint][]) {
      const other = { ...process, [field]: typeof value === 'bigint' ? value + 1n : value + 1 }
      assert.equal(isProcess(bytes, 0, other), false, field)
    }
  })

  it('survives writing and reading for every process', () => {
    const uint32 = fc.nat(0xffff_ffff)
    const uint64 = fc.bigInt(0n, 0xffff_ffff_ffff_ffffn)
    const anyProcess = fc.record(
      {
        pid: uint32,
        startTicks: uint64,
        exeDevice: uint32,
        exeInode: uint64,
        uid: uint32,
        gid: uint32,
        cgroupId: uint64,
        image: uint64,
        effectiveUid: uint32,
        effectiveGid: uint32,
      },
      { noNullPrototype: true },
    )
    fc.assert(
      fc.property(anyProcess, (any) => {
        const bytes = Buffer.alloc(layout.process_pin.size)
        writeProcess(any, bytes)
        assert.deepEqual(readProcess(bytes, 0), any)
        assert.ok(isProcess(bytes, 0, any))
      }),
    )
  })
})

describe('keys of the kernel maps', () => {
  it('name a peer by namespace, address and port, and leave nothing of the one before', () => {
    const key = Buffer.alloc(layout.peer.size, 0xff)
    writePeer(key, '::1', 50123, 3n)
    assert.equal(key.toString('hex'), `0300000000000000${'00'.repeat(15)}01cbc3000000000000`)
    writePeer(key, '127.0.0.1', 1, 3n)
    assert.equal(key.toString('hex'), `0300000000000000${'00'.repeat(10)}ffff7f0000010100000000000000`)
  })

  it('name a destination by its port, and by its address only for loopback', () => {
    assert.equal(destinationKey(2, 443).toString('hex'), `02000000bb010000${'00'.repeat(16)}`)
    assert.equal(
      destinationKey(2, 443, '127.0.0.1').toString('hex'),
      `02000000bb010000${'00'.repeat(10)}ffff7f000001`,
    )
  })

  it('name candidates by kind and value, names cut to the 15 bytes that the kernel keeps', () => {
    const hex = (rule: Parameters<typeof candidateKey>[0]) => candidateKey(rule).toString('hex')
    assert.equal(
      hex({ kind: 'executable', device: 0xfe00000, inode: 0x1234n }),
      `000000000000e00f3412${'00'.repeat(14)}`,
    )
    assert.equal(hex({ kind: 'uid', id: 1000 }), `0200000000000000e803${'00'.repeat(14)}`)
    const name = Buffer.from('exactly-fifteen').toString('hex')
    assert.equal(hex({ kind: 'name', name: 'exactly-fifteen and more' }), `0400000000000000${name}00`)
  })
})
