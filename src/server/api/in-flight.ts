import type { FastifyInstance, FastifyRequest } from 'fastify'
import { saysYes } from '#model/access'
import type { Principal } from '#server/access'
import { RequestRefusal } from './status.ts'

/** How much one user may have at a time, and how much all together. */
interface Share {
  readonly ofOne: number
  readonly ofAll: number
}

export interface InFlightBounds {
  /** Requests that are being answered. */
  readonly requests: Share
  /** What they bring, in bytes: in memory it is a multiple of that. */
  readonly bytes: Share
  /** Watches, and whoever follows the audit trail. */
  readonly streams: Share
}

export const inFlightBounds: InFlightBounds = {
  requests: { ofOne: 200, ofAll: 400 },
  bytes: { ofOne: 16 * 1024 * 1024, ofAll: 64 * 1024 * 1024 },
  streams: { ofOne: 1_000, ofAll: 4_000 },
}

/** Takes what is left of a share; tells how to give it back, or undefined when there is not enough. */
function openShares({ ofOne, ofAll }: Share): (user: string, amount: number) => (() => void) | undefined {
  const used = new Map<string, number>()
  let total = 0
  function add(user: string, amount: number): void {
    const now = (used.get(user) ?? 0) + amount
    if (now === 0) used.delete(user)
    else used.set(user, now)
    total += amount
  }
  return (user, amount) => {
    if ((used.get(user) ?? 0) + amount > ofOne || total + amount > ofAll) return undefined
    add(user, amount)
    return () => add(user, -amount)
  }
}

/** Whether a request asks for an answer that goes on. */
export const isStream = ({ method, query }: FastifyRequest) => {
  const { watch, follow } = query as Readonly<Record<string, unknown>>
  return method === 'GET' && (saysYes(watch) || saysYes(follow))
}

/** Without a length it may become as large as any. */
function announcedBytes({ headers }: FastifyRequest, bodyLimit: number): number {
  if (headers['transfer-encoding'] !== undefined) return bodyLimit
  return Math.min(Number(headers['content-length'] ?? 0) || 0, bodyLimit)
}

/**
 * Refuses what is beyond the bounds with 429 and when to come back, as Kubernetes' API servers do: the flood of one
 * user costs that user, and memory stays bounded whatever all of them ask for. For requests of known users only:
 * what is public bounds itself.
 */
export function boundInFlight(
  app: FastifyInstance,
  { bodyLimit, bounds = inFlightBounds }: { bodyLimit: number; bounds?: InFlightBounds },
): void {
  const requests = openShares(bounds.requests)
  const streams = openShares(bounds.streams)
  const bytes = openShares(bounds.bytes)
  app.addHook('onRequest', async (request, reply) => {
    const { principal } = request as FastifyRequest & { readonly principal?: Principal }
    if (!principal) return
    const user = principal.name
    const place = (isStream(request) ? streams : requests)(user, 1)
    const room = place && bytes(user, announcedBytes(request, bodyLimit))
    if (room) {
      reply.raw.once('close', () => {
        place()
        room()
      })
      return
    }
    place?.()
    const details = { retryAfterSeconds: 1 }
    throw new RequestRefusal(429, 'TooManyRequests', 'too many requests at a time, please try again later', {
      details,
    })
  })
}
