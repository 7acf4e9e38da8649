import { parentPort, workerData } from 'node:worker_threads'
import { toFault, type FaultCode } from '#base/errors'
import { openSqliteDatabase, type Reply, type Request } from './sqlite-database.ts'

/** What the worker says: first `opened` or `failed`, then one message for every batch, in order. */
export type WorkerMessage =
  | { readonly type: 'opened'; readonly revision: number }
  | { readonly type: 'replies'; readonly replies: readonly Reply[] }
  | {
      readonly type: 'failed'
      readonly code: FaultCode
      readonly message: string
      readonly hint?: string | undefined
    }

export interface WorkerOptions {
  readonly path: string
  readonly keepRevisions: number
}

function failed(error: unknown): WorkerMessage {
  const { code, message, hint } = toFault(error, 'STORE_UNAVAILABLE')
  return { type: 'failed', code, message, hint }
}

function serve(options: WorkerOptions): void {
  const port = parentPort!
  const say = (message: WorkerMessage) => port.postMessage(message)
  try {
    const database = openSqliteDatabase(options)
    port.on('message', (batch: readonly Request[] | 'close') => {
      if (batch === 'close') {
        database.close()
        port.close()
        return
      }
      try {
        say({ type: 'replies', replies: database.execute(batch) })
      } catch (error) {
        say(failed(error))
      }
    })
    say({ type: 'opened', revision: database.revision })
  } catch (error) {
    say(failed(error))
  }
}

serve(workerData as WorkerOptions)
