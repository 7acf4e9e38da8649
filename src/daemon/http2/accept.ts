import { performServerHandshake, type ServerHttp2Stream } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import type { RawHeaders } from './fields.ts'
import { RequestStream } from './request-stream.ts'
import { connectionWindowBytes, streamWindowBytes } from './windows.ts'

/** A client's connection that speaks HTTP/2. */
export interface AcceptedHttp2 {
  /** Lets the requests under way end and takes no other. */
  close(): void
  destroy(): void
}

/**
 * SECURITY: what a client may make us hold and do, beyond what nghttp2 bounds by itself (CONTINUATION frames of a
 * head, answers to PING and SETTINGS that wait to be read). Resets come from ordinary clients too: a burst of them
 * passes, a flood ends the connection (CVE-2023-44487).
 */
const bounds = {
  maxHeaderListPairs: 128,
  maxSessionMemory: 10,
  maxSessionInvalidFrames: 100,
  maxSessionRejectedStreams: 100,
  maxSettings: 32,
  streamResetBurst: 1000,
  streamResetRate: 33,
  // Repeated fields are for the parser and the upstream to judge.
  strictSingleValueFields: false,
}

/** Other errors are of the socket, or tell that the client has given up itself. */
const violations = new Set(['ERR_HTTP2_ERROR', 'ERR_HTTP2_TOO_MANY_INVALID_FRAMES'])

/**
 * Becomes the HTTP/2 server on a connection whose TLS is established, with at most `maxStreams` requests at a time.
 * Each is given to `onRequest`; errors end the connection, and `onClose` is called once: with what
 * the client did where it broke the rules of the connection.
 */
export function acceptHttp2(
  socket: TLSSocket,
  options: {
    maxStreams: number
    random: (size: number) => Buffer
    onRequest: (request: RequestStream) => void
    onClose: (violation?: string) => void
  },
): AcceptedHttp2 {
  // HTTP/2 knows no half-open connection: a peer that sends nothing any more grants no window either.
  socket.allowHalfOpen = false
  const session = performServerHandshake(socket, {
    ...bounds,
    settings: {
      maxConcurrentStreams: options.maxStreams,
      maxHeaderListSize: 64 * 1024,
      enableConnectProtocol: true,
      initialWindowSize: streamWindowBytes,
    },
  })
  // node:http2 waits for this event, which a server's socket gets from no one else.
  socket.emit('secureConnect')
  session.setLocalWindowSize(connectionWindowBytes)
  let violation: string | undefined
  session.on('error', ({ code, message }: NodeJS.ErrnoException) => {
    if (code !== undefined && violations.has(code)) violation = message
    session.destroy()
  })
  session.on('close', () => options.onClose(violation))
  session.on('stream', (stream: ServerHttp2Stream, _headers: unknown, _flags: unknown, raw: RawHeaders) => {
    options.onRequest(new RequestStream(stream, raw, options.random))
  })
  return { close: () => session.close(), destroy: () => session.destroy() }
}
