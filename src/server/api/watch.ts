import type { FastifyReply, FastifyRequest } from 'fastify'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Log } from '#base/log'
import { statusOf } from './status.ts'

/**
 * Answers with one line of JSON for each item, as they come, until the client goes, `signal` aborts or the items
 * end, or the right to them does. A failure after the first byte is `onError`'s line. The client's reading sets the pace.
 */
export async function sendLines<Line extends object>(
  request: FastifyRequest,
  reply: FastifyReply,
  {
    contentType,
    lines,
    encode = JSON.stringify,
    onError,
    signal,
    log,
  }: {
    contentType: string
    lines: (signal: AbortSignal) => AsyncIterable<Line>
    encode?: (line: Line) => string
    onError: (error: unknown) => object
    signal: AbortSignal
    log: Log
  },
): Promise<void> {
  const gone = new AbortController()
  reply.raw.once('close', () => gone.abort())
  using hold = request.hold?.()
  const ends = [signal, gone.signal, ...(hold ? [hold.signal] : [])]
  const either = AbortSignal.any(ends)
  async function* text(): AsyncGenerator<string> {
    try {
      for await (const line of lines(either)) yield `${encode(line)}\n`
    } catch (error) {
      const { code } = statusOf(error)
      log[code >= 500 ? 'error' : 'debug']('api.stream.failed', { url: request.routeOptions.url, error })
      yield `${JSON.stringify(onError(error))}\n`
    }
  }
  reply.hijack()
  for (const [name, value] of Object.entries(reply.getHeaders())) reply.raw.setHeader(name, value!)
  reply.raw.writeHead(200, { 'content-type': contentType })
  // The client learns that the stream stands before the first item is there.
  reply.raw.flushHeaders()
  // A client that goes away is no failure.
  await pipeline(Readable.from(text()), reply.raw).catch(() => {})
}
