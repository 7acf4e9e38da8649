import { once } from 'node:events'
import {
  connect as connectHttp2,
  createSecureServer,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type SecureServerOptions,
  type ServerHttp2Session,
  type Http2ServerResponse,
  type ServerHttp2Stream,
} from 'node:http2'
import type { AddressInfo } from 'node:net'
import type { ConnectionOptions, TLSSocket } from 'node:tls'
import { host, serverIdentity, type Bed, type Listener } from './fixture.ts'
import { openTls } from './talk.ts'

/** HTTP/2 as node:http2 speaks it, for tests of the data plane. */

export interface Http2Listener extends AsyncDisposable {
  readonly port: number
  /** Accepted so far. */
  readonly sessions: readonly ServerHttp2Session[]
  readonly sockets: readonly TLSSocket[]
}

/** An upstream that speaks HTTP/2, and HTTP/1.1 only with `allowHTTP1`. */
export async function listenHttp2(
  bed: Bed,
  onStream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void,
  { onHttp1, ...options }: SecureServerOptions & { onHttp1?: (response: Http2ServerResponse) => void } = {},
): Promise<Http2Listener> {
  const server = createSecureServer({
    ...serverIdentity(host, { authority: bed.upstreamCa }),
    allowHTTP1: onHttp1 !== undefined,
    ...options,
  })
  if (onHttp1) {
    server.on('request', ({ httpVersionMajor }, response) => {
      if (httpVersionMajor === 1) onHttp1(response)
    })
  }
  const sessions: ServerHttp2Session[] = []
  const sockets: TLSSocket[] = []
  server.on('secureConnection', (socket) => sockets.push(socket))
  server.on('session', (session) => {
    session.on('error', () => {})
    sessions.push(session)
  })
  server.on('tlsClientError', () => {})
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    stream.on('error', () => {})
    onStream(stream, headers)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    sessions,
    sockets,
    async [Symbol.asyncDispose]() {
      for (const session of sessions) session.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
  readonly trailers: IncomingHttpHeaders
  /** Statuses of interim responses. */
  readonly interims: readonly number[]
}

/** Reads a response to its end. @throws what resets the stream */
export async function readAnswer(stream: ClientHttp2Stream): Promise<Answer> {
  const interims: number[] = []
  let trailers: IncomingHttpHeaders = {}
  stream.on('headers', (headers) => interims.push(headers[':status']!))
  stream.on('trailers', (received) => (trailers = received))
  const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders & { ':status': number }]
  const parts: Buffer[] = []
  for await (const part of stream) parts.push(part as Buffer)
  return { status: headers[':status'], headers, body: Buffer.concat(parts).toString(), trailers, interims }
}

/** A client on an intercepted connection that speaks HTTP/2. */
export class Http2Client implements Disposable {
  readonly socket: TLSSocket
  readonly session: ClientHttp2Session

  constructor(socket: TLSSocket) {
    this.socket = socket
    this.session = connectHttp2(`https://${host}`, { createConnection: () => socket })
    this.session.on('error', () => {})
  }

  start(headers: OutgoingHttpHeaders, options: { endStream?: boolean; waitForTrailers?: boolean } = {}) {
    const stream = this.session.request({ ':authority': host, ...headers }, options)
    stream.on('error', () => {})
    return stream
  }

  send(headers: OutgoingHttpHeaders, body?: string | Buffer): Promise<Answer> {
    const stream = this.start(headers, { endStream: body === undefined })
    if (body !== undefined) stream.end(body)
    return readAnswer(stream)
  }

  [Symbol.dispose](): void {
    this.session.destroy()
  }
}

export async function openHttp2Client(
  bed: Bed,
  proxy: Listener,
  options: ConnectionOptions = {},
): Promise<Http2Client> {
  return new Http2Client(await openTls(bed, proxy, { ALPNProtocols: ['h2'], ...options }))
}
