export const HTAB = 0x09
export const LF = 0x0a
export const CR = 0x0d
export const SP = 0x20

/** A line's end and the empty line that closes a head. */
export const headEnd = Uint8Array.of(CR, LF, CR, LF)

/** A table that answers for every byte whether `belongs` holds, so that scanning costs one load a byte. */
function classOf(belongs: (code: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, code) => (belongs(code) ? 1 : 0))
}

/** RFC 9110 section 5.6.2: token characters. */
export const tokenCharacters = classOf((code) =>
  /[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(String.fromCharCode(code)),
)

/** RFC 9110 section 5.5: horizontal tab, space, visible characters and bytes above ASCII. */
export const valueCharacters = classOf((code) => code === HTAB || (code >= SP && code !== 0x7f))

/**
 * Visible ASCII without `#`, which never belongs on the wire, and `\`, which some servers take for `/`
 * (RFC 3986 allows neither).
 */
export const targetCharacters = classOf((code) => code > SP && code < 0x7f && code !== 0x23 && code !== 0x5c)

/** What a byte is worth as a hexadecimal digit; -1 when it is none. */
export function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}

/**
 * The first place in `bytes` from `start` on whose byte is not of `table`; the end if there is none. Bytes, not
 * characters: reading a slice of a string costs several times as much.
 */
export function skip(table: Uint8Array, bytes: Uint8Array, start: number): number {
  // Asked for once: the length of a Buffer is a call that costs as much as the rest of a step.
  const end = bytes.length
  let at = start
  while (at < end && table[bytes[at]!] === 1) at += 1
  return at
}
