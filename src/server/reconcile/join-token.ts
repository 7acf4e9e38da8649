import type { EpochMs } from '#base/clock'
import type { JoinToken } from '#model/resource'
import type { DesiredStatus } from './desired-status.ts'

/** When a token stops working; never for one without an end. */
export function expiryOf({ spec: { expireAt } }: JoinToken): EpochMs {
  return expireAt === undefined ? Infinity : Date.parse(expireAt)
}

export function judgeJoinToken(object: JoinToken, at: EpochMs): DesiredStatus<'JoinToken'> {
  const expired = expiryOf(object) <= at
  const message = expired
    ? `nobody used it before ${object.spec.expireAt}: delete it, and make a new one for a node that still has to join`
    : 'one daemon may join with it'
  return { state: expired ? 'EXPIRED' : 'AVAILABLE', message, conditions: [] }
}
