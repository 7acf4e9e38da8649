/** HTTP/2 frames by hand (RFC 9113 section 4; heads without compression, RFC 7541), for tests of what no library sends. */

export const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
export const type = {
  data: 0,
  headers: 1,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
}
export const endStream = 1
export const endHeaders = 4

export function frame(
  kind: number,
  flags: number,
  stream: number,
  payload: Buffer = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head.writeUInt8(kind, 3)
  head.writeUInt8(flags, 4)
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

export interface Frame {
  readonly kind: number
  readonly stream: number
  readonly payload: Buffer
}

/** Takes the bytes of a connection, behind its preface, and gives the frames that are whole. */
export function openFrameReader(): (bytes: Buffer) => Frame[] {
  let held = Buffer.alloc(0)
  return (bytes) => {
    held = Buffer.concat([held, bytes])
    const frames: Frame[] = []
    while (held.length >= 9 && held.length >= 9 + held.readUIntBE(0, 3)) {
      const end = 9 + held.readUIntBE(0, 3)
      frames.push({
        kind: held[3]!,
        stream: held.readUInt32BE(5) & 0x7fffffff,
        payload: held.subarray(9, end),
      })
      held = held.subarray(end)
    }
    return frames
  }
}

function hpackString(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1')
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes])
  const rest = bytes.length - 127
  const length = [127, (rest & 0x7f) | 0x80, ((rest >> 7) & 0x7f) | 0x80, rest >> 14]
  return Buffer.concat([Buffer.from(length), bytes])
}

export type Field = readonly [name: string, value: string]

export function block(fields: readonly Field[]): Buffer {
  return Buffer.concat(
    fields.flatMap(([name, value]) => [Buffer.from([0]), hpackString(name), hpackString(value)]),
  )
}
