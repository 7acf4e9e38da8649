import { createHash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'

/** A document that stays as it is while the program runs. */
export interface Document {
  readonly contentType: string
  readonly body: Buffer
  /** SHA-256 of the body in hexadecimal capitals, as Kubernetes writes it in URLs. */
  readonly hash: string
}

export function documentOf(contentType: string, content: object | Uint8Array): Document {
  const body = content instanceof Uint8Array ? Buffer.from(content) : Buffer.from(JSON.stringify(content))
  return { contentType, body, hash: createHash('sha256').update(body).digest('hex').toUpperCase() }
}

/**
 * Answers with the document, or with 304 to a client that has it already. Clients keep it and ask each time
 * whether it still holds; `immutable`: they need not ask, for its hash is in the URL.
 */
export function sendDocument(
  request: FastifyRequest,
  reply: FastifyReply,
  { contentType, body, hash }: Document,
  { immutable = false } = {},
): FastifyReply {
  const etag = `"${hash}"`
  void reply.headers({
    etag,
    vary: 'Accept',
    'cache-control': immutable ? 'private, max-age=31536000, immutable' : 'private, no-cache',
  })
  const known = (request.headers['if-none-match'] ?? '')
    .split(',')
    .map((tag) => tag.trim().replace(/^W\//, ''))
  if (known.includes(etag) || known.includes('*')) return reply.code(304).send()
  return reply.type(contentType).send(body)
}
