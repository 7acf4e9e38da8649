import { connect } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import { Fault } from '#base/errors'
import { tellTlsFailure } from '#daemon/tls-failure'
import { ResponseStream } from './response-stream.ts'
import { connectionWindowBytes, streamWindowBytes } from './windows.ts'

/** A connection to an upstream that speaks HTTP/2, for many requests at a time. */
export interface ConnectedHttp2 {
  /** Requests under way. */
  readonly streams: number
  /** Whether another request may start now: false for good once upstream has said goodbye. */
  readonly hasRoom: boolean
  /** Called when the last request under way has ended. */
  onIdle: (() => void) | undefined
  /** Called once. */
  onClose: (() => void) | undefined
  /** The stream for one request, which begins with the first byte written to it. */
  start(): ResponseStream
  /** Takes no further request; closed when the last under way has ended. */
  close(): void
  destroy(): void
}

const bounds = {
  maxHeaderListPairs: 128,
  maxSessionMemory: 32,
  maxSessionInvalidFrames: 100,
  maxSettings: 32,
  strictSingleValueFields: false,
}

/**
 * Becomes the HTTP/2 client on a connection whose TLS is verified. Resolves once upstream has told its settings.
 * @throws Fault UPSTREAM_UNREACHABLE when it ended before
 */
export function connectHttp2(
  socket: TLSSocket,
  { timeoutMs }: { timeoutMs: number },
): Promise<ConnectedHttp2> {
  // As of a client's: what upstream has ended must take no further request.
  socket.allowHalfOpen = false
  const session = connect('https://upstream', {
    ...bounds,
    createConnection: () => socket,
    settings: { enablePush: false, initialWindowSize: streamWindowBytes },
  })
  let streams = 0
  const connection: ConnectedHttp2 = {
    onIdle: undefined,
    onClose: undefined,
    get streams() {
      return streams
    },
    get hasRoom() {
      const { maxConcurrentStreams = Infinity } = session.remoteSettings
      return !session.closed && !session.destroyed && streams < maxConcurrentStreams
    },
    start() {
      const stream = new ResponseStream(session)
      streams += 1
      stream.once('close', () => {
        streams -= 1
        if (streams === 0) connection.onIdle?.()
      })
      return stream
    },
    close: () => session.close(),
    destroy: () => session.destroy(),
  }
  return new Promise((resolve, reject) => {
    let failure = new Error('closed before it told its HTTP/2 settings')
    const onTimeout = () => session.destroy(new Error(`no HTTP/2 settings within ${timeoutMs} ms`))
    socket.setTimeout(timeoutMs, onTimeout)
    session.on('error', (error: Error) => (failure = error))
    session.once('close', () => {
      reject(
        new Fault('UPSTREAM_UNREACHABLE', `HTTP/2 with upstream failed: ${tellTlsFailure(failure)}`, {
          cause: failure,
        }),
      )
      connection.onClose?.()
    })
    session.once('remoteSettings', () => {
      socket.setTimeout(0, onTimeout)
      session.setLocalWindowSize(connectionWindowBytes)
      resolve(connection)
    })
  })
}
