/**
 * HTTP/2 connections as streams that speak HTTP/1.1: each request of a client is read, and each request to an
 * upstream is written, as the bytes of one HTTP/1.1 message, so that one parser judges and one path serves both
 * protocols (docs/decisions/0007). Framing, HPACK and flow control are node:http2's. It decides nothing about
 * requests, and opens no connection.
 */
export { acceptHttp2 } from './accept.ts'
export type { AcceptedHttp2 } from './accept.ts'
export { connectHttp2 } from './connect.ts'
export type { ConnectedHttp2 } from './connect.ts'
export type { MessageStream } from './message-stream.ts'
export type { RequestStream } from './request-stream.ts'
export type { ResponseStream } from './response-stream.ts'
