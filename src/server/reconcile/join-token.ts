import type { EpochMs } from '#base/clock'
import type { JoinToken } from '#model/resource'
import type { DesiredStatus } from './desired-status.ts'

/** When a token stops working; never for one without an end. */
export function expiryOf({ spec: { expireAt } }: JoinToken): EpochMs {
  return expireAt === undefined ? Infinity : Date.parse(expireAt)
}

/** `obstacle`: why no daemon can join with it as things are, and what to do about that. */
export function judgeJoinToken(
  object: JoinToken,
  at: EpochMs,
  obstacle?: string,
): DesiredStatus<'JoinToken'> {
  const conditions: [] = []
  if (expiryOf(object) <= at) {
    const message = `nobody used it before ${object.spec.expireAt}: delete it, and make a new one for a node that still has to join`
    return { state: 'EXPIRED', message, conditions }
  }
  if (obstacle !== undefined)
    return { state: 'PENDING', message: `no daemon can join with it: ${obstacle}`, conditions }
  return { state: 'AVAILABLE', message: 'one daemon may join with it', conditions }
}
