/**
 * The content coding `aws-chunked` of Amazon S3 ("Signature calculations: transferring payload in multiple
 * chunks"), as a parser for bodies that stream by: chunk headers with their signatures, data, and the trailers
 * behind the last chunk. It verifies no signature and no checksum, and makes none.
 */
export { openAwsChunkedParser } from './parser.ts'
export type { AwsChunkedHandler, AwsChunkedParser, ChunkHeader } from './parser.ts'
export { parseTail } from './tail.ts'
export type { Tail, Trailer } from './tail.ts'
