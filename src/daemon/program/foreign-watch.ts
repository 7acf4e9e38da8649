import type { Clock } from '#base/clock'
import type { Capture } from '#daemon/capture'
import type { ConditionBoard } from './conditions.ts'

/** For how long what was seen counts as how things are: not so short that it comes and goes with a cron job. */
const shownMs = 600_000

/**
 * Says of this daemon that the kernel left connections alone because they were opened in other network namespaces.
 * Of the daemon and not of an identity: nobody who is left alone is attested, so whose they were is not known.
 */
export interface ForeignWatch {
  look(): void
}

export function openForeignWatch({
  capture,
  board,
  clock,
}: {
  capture: Pick<Capture, 'counters'>
  board: Pick<ConditionBoard, 'replace'>
  clock: Pick<Clock, 'monotonic'>
}): ForeignWatch {
  // It counts since attaching: what an earlier daemon left alone says nothing about now.
  let seen = capture.counters().foreignNetns
  let seenAt = -Infinity
  return {
    look() {
      const { foreignNetns } = capture.counters()
      if (foreignNetns > seen) seenAt = clock.monotonic()
      seen = foreignNetns
      const condition = {
        subject: 'daemon',
        type: 'NotCapturable',
        status: 'True',
        reason: 'OtherNetns',
        message:
          'connections from other network namespaces (containers, pods) were left alone that selectors of its identities may mean: what is not behind `tideway run` there goes out unsigned; start it in the network namespace of the host',
      } as const
      board.replace('ForeignNetns', clock.monotonic() - seenAt < shownMs ? [condition] : [])
    },
  }
}
