import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { NodeReportSchema, type NodeReport } from '#wire/proto'

type Body = Exclude<MessageInitShape<typeof NodeReportSchema>['body'], undefined>

export interface Outbox {
  put(body: Body): void
  reports(): AsyncIterable<NodeReport>
}

/**
 * The reports of one stream, in order, until abort. Only the newest health waits; acknowledgements all do, and
 * there are at most as many as updates that the server has sent and not seen acknowledged.
 */
export function openOutbox(signal: AbortSignal): Outbox {
  const waiting: Body[] = []
  let wake = () => {}
  signal.addEventListener('abort', () => wake(), { once: true })
  return {
    put(body) {
      const stale = body.case === 'health' ? waiting.findIndex((other) => other.case === 'health') : -1
      if (stale >= 0) waiting.splice(stale, 1)
      waiting.push(body)
      wake()
    },
    async *reports() {
      while (!signal.aborted) {
        const body = waiting.shift()
        if (body) yield create(NodeReportSchema, { body })
        else await new Promise<void>((resolve) => (wake = resolve))
      }
    },
  }
}
