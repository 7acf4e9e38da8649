import { backoffMs, type Clock } from '#base/clock'
import { toFault } from '#base/errors'
import type { Log } from '#base/log'
import type { SpoolReader } from '#daemon/audit-spool'
import type { Node } from './node.ts'

// Within what the server takes: 4 MiB and 10,000 records.
const batchBytes = 512 * 1024
/** What gathers meanwhile travels together: a message costs more than the records in it. */
const gatherMs = 250
const retry = { baseMs: 500, maxMs: 15_000 }

/** Ships the spool to the server in batches until abort: a batch leaves the spool once the server has it. */
export async function runShipping({
  node,
  reader,
  clock,
  log,
  random,
  signal,
}: {
  node: Node
  reader: SpoolReader
  clock: Clock
  log: Log
  random: () => number
  signal: AbortSignal
}): Promise<void> {
  let failures = 0
  while (!signal.aborted) {
    try {
      const batch = await reader.next(batchBytes)
      if (batch) {
        await node.connection().client.shipAudit({ recordsJsonl: batch.lines }, { signal })
        batch.commit()
        failures = 0
        if (batch.more) continue
      }
    } catch (error) {
      if (signal.aborted) break
      if (failures++ === 0) log.warn('audit.shipping-failed', { error: toFault(error).message })
    }
    const pause = failures > 0 ? backoffMs(failures - 1, { ...retry, random }) : gatherMs
    await clock.sleep(pause, { signal }).catch(() => {})
  }
  node.connection().close()
}
