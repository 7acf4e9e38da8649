import { Fault } from '#base/errors'

export const maxTailBytes = 16 * 1024

export interface Trailer {
  /** Lower-case. */
  readonly name: string
  readonly value: string
}

/** What stands behind the last chunk. `before`, `signature` and `after` together are its text as it came. */
export interface Tail {
  /** Without the signature. */
  readonly trailers: readonly Trailer[]
  readonly before: string
  /** The value of x-amz-trailer-signature, empty where there is none. */
  readonly signature: string
  readonly after: string
}

const trailerLine = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[\t ]*:[\t ]*([!-~](?:[\t -~]*[!-~])?)?[\t ]*$/
const signatureLine = /^(x-amz-trailer-signature:[\t ]*)([0-9a-f]{64,144}\*{0,80})$/i

function malformed(reason: string): never {
  throw new Fault('WIRE_MALFORMED', `aws-chunked trailers: ${reason}`)
}

/**
 * Reads the trailers of a body. Lines end with CRLF; a trailer may also end with LF, or LF and CRLF, as the S3
 * reference prints it and MinIO's clients send it. The signature stands last, and an empty line ends it all.
 * @throws Fault WIRE_MALFORMED
 */
export function parseTail(text: string): Tail {
  if (!text.endsWith('\r\n')) malformed('cut off')
  const trailers: Trailer[] = []
  let signed: Pick<Tail, 'before' | 'signature' | 'after'> | undefined
  let at = 0
  while (at < text.length) {
    const end = text.indexOf('\n', at)
    const line = text.slice(at, text[end - 1] === '\r' ? end - 1 : end)
    if (line !== '') {
      if (signed) malformed('a line behind the signature')
      const [, label, signature] = signatureLine.exec(line) ?? []
      if (label !== undefined && signature !== undefined) {
        const start = at + label.length
        const after = text.slice(start + signature.length)
        signed = { before: text.slice(0, start), signature, after }
      } else {
        trailers.push(parseTrailer(line, trailers))
      }
    }
    at = end + 1
  }
  if (text !== '\r\n' && !text.endsWith('\n\r\n')) malformed('no empty line at the end')
  return { trailers, ...(signed ?? { before: text, signature: '', after: '' }) }
}

function parseTrailer(line: string, earlier: readonly Trailer[]): Trailer {
  const [, name, value = ''] = trailerLine.exec(line) ?? malformed('malformed line')
  const trailer = { name: name!.toLowerCase(), value }
  if (trailer.name === 'x-amz-trailer-signature') malformed('malformed signature')
  if (earlier.some((other) => other.name === trailer.name)) malformed('repeated name')
  return trailer
}
