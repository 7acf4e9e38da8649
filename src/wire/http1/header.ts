import type { Buffer } from 'node:buffer'
import type { Header } from './head.ts'
import type { FieldName } from './names.ts'

/** The bytes of a head, and the same as text, one character for each. */
export interface HeadText {
  readonly bytes: Buffer
  readonly text: string
}

/**
 * A header that was read: it knows its line, so that whoever writes it again copies bytes that have been judged, and
 * its value becomes a text only when somebody asks for it.
 */
export class ParsedHeader implements Header {
  readonly name: string
  readonly rawName: string
  readonly source: HeadText
  readonly lineStart: number
  /** Behind the line feed. */
  readonly lineEnd: number
  readonly #valueStart: number
  readonly #valueEnd: number

  constructor(
    { name, rawName }: FieldName,
    source: HeadText,
    place: { lineStart: number; valueStart: number; valueEnd: number; lineEnd: number },
  ) {
    this.name = name
    this.rawName = rawName
    this.source = source
    this.lineStart = place.lineStart
    this.lineEnd = place.lineEnd
    this.#valueStart = place.valueStart
    this.#valueEnd = place.valueEnd
  }

  get value(): string {
    return this.source.text.slice(this.#valueStart, this.#valueEnd)
  }

  /** Whether its line reads `name: value`, with no other white space in it. */
  get isPlain(): boolean {
    return (
      this.#valueStart === this.lineStart + this.rawName.length + 2 &&
      this.source.bytes[this.#valueStart - 1] === 0x20 &&
      this.#valueEnd === this.lineEnd - 2
    )
  }
}
