/** A cursor over bytes in the presentation language of TLS (RFC 8446 section 3): big-endian, length-prefixed. */
export interface Reader {
  readonly remaining: number
  uint8(): number
  uint16(): number
  bytes(length: number): Uint8Array
  rest(): Uint8Array
  /** The content of a vector whose length takes one byte. */
  vector8(): Reader
  /** The content of a vector whose length takes two bytes. */
  vector16(): Reader
}

/** Reads `data` from its start; `fail` is called, and must throw, when a length points past the end. */
export function openReader(data: Uint8Array, fail: (reason: string) => never): Reader {
  let at = 0
  const reader: Reader = {
    get remaining() {
      return data.length - at
    },
    uint8: () => reader.bytes(1)[0]!,
    uint16() {
      const pair = reader.bytes(2)
      return (pair[0]! << 8) | pair[1]!
    },
    bytes(length) {
      if (at + length > data.length) fail('a length exceeds its container')
      at += length
      return data.subarray(at - length, at)
    },
    rest: () => reader.bytes(data.length - at),
    vector8: () => openReader(reader.bytes(reader.uint8()), fail),
    vector16: () => openReader(reader.bytes(reader.uint16()), fail),
  }
  return reader
}
