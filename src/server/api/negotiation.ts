import { RequestRefusal } from './status.ts'

interface MediaRange {
  readonly type: string
  /** The type with its parameters, in one spelling. */
  readonly text: string
  readonly quality: number
}

// What Kubernetes' clients say besides what they want, nothing between two semicolons included: it does not choose.
const indifferent = new Set(['', 'q', 'charset', 'pretty', 'stream', 'profile'])

function parseRange(text: string): MediaRange {
  const [type = '', ...parameters] = text.split(';').map((part) => part.trim())
  const pairs = parameters.map((parameter) => parameter.split('=', 2).map((part) => part.trim()))
  const quality = Number(pairs.find(([name]) => name === 'q')?.[1] ?? 1)
  const telling = pairs
    .filter(([name = '']) => !indifferent.has(name))
    .map(([name, value = '']) => `${name}=${value}`)
    .sort()
  return {
    type: type.toLowerCase(),
    text: [type.toLowerCase(), ...telling].join(';'),
    quality: Number.isNaN(quality) ? 0 : quality,
  }
}

/**
 * What an `Accept` header (RFC 9110 section 12.5.1) chooses from `offers`: media type, its parameters in
 * alphabetical order, to what it stands for. A client that has no wish gets the first.
 * @throws RequestRefusal 406
 */
export function negotiate<T>(accept: string | undefined, offers: ReadonlyMap<string, T>): T {
  const [[firstType, first]] = offers as unknown as [[string, T]]
  if (accept === undefined || accept.trim() === '') return first
  const ranges = accept
    .split(',')
    .map(parseRange)
    .filter(({ quality }) => quality > 0)
    .sort((a, b) => b.quality - a.quality)
  for (const { type, text } of ranges) {
    const offer = offers.get(text)
    if (offer !== undefined) return offer
    if (text === '*/*' || (text === 'application/*' && firstType.startsWith('application/'))) return first
    if (type === 'text/*' && firstType.startsWith('text/')) return first
  }
  const types = [...offers.keys()].join(', ')
  throw new RequestRefusal(406, 'NotAcceptable', `only the following media types are accepted: ${types}`)
}
