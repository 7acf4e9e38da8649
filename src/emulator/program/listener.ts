import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'
import type { Answer } from '#emulator/aws'
import type { WireRequest } from '#emulator/sigv4'
import type { Certificates } from './certificates.ts'

const maxBodyBytes = 64 << 20
const maxConnections = 256
const idleTimeoutMs = 60_000

/** Answers one request; never rejects. */
export type Handler = (request: WireRequest, body: Buffer) => Promise<Answer>

export interface Listener extends AsyncDisposable {
  readonly address: AddressInfo
}

/**
 * Listens with TLS for HTTP/1.1 and HTTP/2 (the Bedrock clients of the JavaScript SDK speak nothing else). Bodies
 * of more than 64 MiB are answered 413; at 256 connections further ones are closed.
 */
export async function openListener(
  where: { host: string; port: number },
  options: { certificates: Certificates; handle: Handler },
): Promise<Listener> {
  const { certificates, handle } = options
  const server = createSecureServer(
    {
      ...certificates.fallback,
      allowHTTP1: true,
      http1Options: { keepAliveTimeout: idleTimeoutMs },
      SNICallback: (name, callback) => callback(null, certificates.contextFor(name)),
    },
    (request, response) => void serve(request, response, handle),
  )
  server.maxConnections = maxConnections
  server.setTimeout(idleTimeoutMs)
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  // A client that breaks off its handshake or session is no event of ours.
  server.on('sessionError', () => {})
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(where.port, where.host, () => {
      server.off('error', reject)
      resolve()
    })
  })
  return {
    address: server.address() as AddressInfo,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

async function serve(
  request: Http2ServerRequest,
  response: Http2ServerResponse,
  handle: Handler,
): Promise<void> {
  // Both ends report a broken connection; there is nobody left to answer.
  request.on('error', () => {})
  response.on('error', () => {})
  const body = await readBody(request).catch(() => undefined)
  if (response.destroyed || body === undefined) return
  const answer = body === 'too-large' ? tooLarge : await handle(wireRequest(request), body)
  const payload = Buffer.from(answer.body ?? '')
  response.writeHead(answer.status, {
    'content-length': String(payload.length),
    ...answer.headers,
    server: 'tideway-emulator',
    'x-tideway-emulator': 'not a real cloud',
  })
  response.end(payload)
}

const tooLarge: Answer = {
  status: 413,
  headers: { 'content-type': 'text/plain' },
  body: 'the emulator takes bodies of at most 64 MiB\n',
}

/** Reads the whole body; one that is too large is read to its end, so that the client gets its answer. */
async function readBody(request: Http2ServerRequest): Promise<Buffer | 'too-large'> {
  const parts: Buffer[] = []
  let size = 0
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length
    if (size <= maxBodyBytes) parts.push(part)
    else parts.length = 0
  }
  return size <= maxBodyBytes ? Buffer.concat(parts) : 'too-large'
}

function wireRequest(request: Http2ServerRequest): WireRequest {
  const headers: [string, string][] = []
  let authority: string | undefined
  for (let index = 0; index + 1 < request.rawHeaders.length; index += 2) {
    const name = (request.rawHeaders[index] ?? '').toLowerCase()
    // Node gives one character per byte; what was signed is the text that these bytes are.
    const value = Buffer.from(request.rawHeaders[index + 1] ?? '', 'latin1').toString('utf8')
    if (name === ':authority') authority = value
    else if (!name.startsWith(':')) headers.push([name, value])
  }
  if (authority !== undefined) {
    // Over HTTP/2 the SDK signs `:authority`, others `host`: both name the same value (RFC 9113 section 8.3.1).
    const others = headers.filter(([name]) => name !== 'host')
    others.push([':authority', authority], ['host', authority])
    return { method: request.method, target: request.url, headers: others }
  }
  return { method: request.method, target: request.url, headers }
}
