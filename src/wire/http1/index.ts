/**
 * HTTP/1.1 messages between bytes and values (RFC 9112), for a proxy: heads are parsed and written, the end of a
 * body is found without touching it. Strict: whatever two parsers could read differently is refused, never
 * guessed. It neither opens connections nor decides who may send what; semantics of methods are the caller's.
 */
export { parseRequestHead } from './request.ts'
export { parseResponseHead } from './response.ts'
export { defaultHeadLimits } from './head.ts'
export type {
  Framing,
  Header,
  HeadLimits,
  ParsedRequest,
  ParsedResponse,
  Refused,
  RequestHead,
  ResponseHead,
  TargetForm,
} from './head.ts'
export { parseAbsoluteTarget } from './target.ts'
export type { AbsoluteTarget } from './target.ts'
export { decodeChunked, openBodyScanner } from './body.ts'
export type { BodyScanner, Scan } from './body.ts'
export { hexDigit, valueCharacters } from './characters.ts'
export { formatRequestHead, formatResponseHead, prepareHeader } from './format.ts'
export type { HeaderField } from './format.ts'
