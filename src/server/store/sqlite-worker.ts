import { parentPort, workerData } from 'node:worker_threads'
import { toFault, type FaultCode } from '#base/errors'
import { openSqliteDatabase, type Reply, type Request, type SqliteDatabase } from './sqlite-database.ts'

export interface Failed {
  readonly type: 'failed'
  readonly code: FaultCode
  readonly message: string
  readonly hint?: string | undefined
}

/** What the worker says: first `opened` or `failed`, then one message for every batch, in order. */
export type WorkerMessage =
  | { readonly type: 'opened'; readonly revision: number }
  | { readonly type: 'replies'; readonly replies: readonly (Reply | Failed)[] }
  | Failed

export interface WorkerOptions {
  readonly path: string
  readonly keepRevisions: number
}

function failed(error: unknown): Failed {
  const { code, message, hint } = toFault(error, 'STORE_UNAVAILABLE')
  return { type: 'failed', code, message, hint }
}

/** Together if that is possible, else each alone: what only reads does not fail with a write for which there is no room. */
function answer(database: SqliteDatabase, batch: readonly Request[]): (Reply | Failed)[] {
  try {
    return database.execute(batch)
  } catch (error) {
    return batch.length === 1 ? [failed(error)] : batch.flatMap((request) => answer(database, [request]))
  }
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
      say({ type: 'replies', replies: answer(database, batch) })
    })
    say({ type: 'opened', revision: database.revision })
  } catch (error) {
    say(failed(error))
  }
}

serve(workerData as WorkerOptions)
