// A worker thread's port has no target origin: the rule is for browsers.
/* oxlint-disable unicorn/require-post-message-target-origin */
import { once } from 'node:events'
import { dirname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { Fault } from '#base/errors'
import { makeFolder } from '#base/files'
import { silentLog, type Log } from '#base/log'
import { openChangeFeed, revisionGone, storeClosed } from './change-feed.ts'
import type { Store, StoreKey, StoreRange } from './ports.ts'
import type { Reply, Request } from './sqlite-database.ts'
import type { Failed, WorkerMessage, WorkerOptions } from './sqlite-worker.ts'

// Requests that wait while the disk works; beyond that the store is not keeping up and callers are told so.
const maxWaiting = 10_000
const maxBatch = 256
// Events in memory for watches that keep up; others read the change log.
const recentRevisions = 512

interface Waiting {
  readonly request: Request
  readonly resolve: (reply: Reply) => void
  readonly reject: (error: Fault) => void
}

/** Like `reply` of one type; anything else is a defect. */
function expectReply<T extends Reply['type']>(reply: Reply, type: T): Extract<Reply, { type: T }> {
  if (reply.type !== type) throw new TypeError(`the store answered ${reply.type}, not ${type}`)
  return reply as Extract<Reply, { type: T }>
}

/**
 * Opens the SQLite file at `path` (created with mode 0600, its folder with 0700) in a worker thread. Requests that
 * arrive while the disk works are committed together (WAL, synchronous FULL). Where a write fails, for want of room
 * for one, reads go on; `log` is told when that begins and when it ends.
 * @throws Fault STORE_CORRUPT when the file is damaged, another program's, or a newer version's;
 *   STORE_UNAVAILABLE when another process has it or it cannot be opened
 */
export async function openSqliteStore({
  path,
  keepRevisions = 10_000,
  log = silentLog,
}: {
  path: string
  keepRevisions?: number
  log?: Log
}): Promise<Store> {
  try {
    makeFolder(dirname(path), 0o700)
  } catch (error) {
    throw new Fault('STORE_UNAVAILABLE', `${dirname(path)}: ${(error as Error).message}`, { cause: error })
  }
  const workerData: WorkerOptions = { path, keepRevisions }
  const worker = new Worker(new URL('./sqlite-worker.ts', import.meta.url), { workerData })
  const [opened] = (await once(worker, 'message')) as [WorkerMessage]
  if (opened.type !== 'opened') {
    await worker.terminate()
    throw opened.type === 'failed' ? fromWorker(opened) : new TypeError(`unexpected ${opened.type}`)
  }

  const waiting: Waiting[] = []
  let inFlight: readonly Waiting[] = []
  let closing: Promise<void> | undefined
  let failure: Fault | undefined
  let writesFail = false

  const feed = openChangeFeed({
    revision: opened.revision,
    keep: Math.min(recentRevisions, keepRevisions),
    async older(prefix, afterRevision) {
      const reply = await ask({ type: 'changes', prefix, afterRevision })
      if (reply.type === 'gone') throw revisionGone(afterRevision)
      return expectReply(reply, 'changes').changes
    },
  })

  function ask(request: Request): Promise<Reply> {
    if (closing) return Promise.reject(storeClosed())
    if (failure) return Promise.reject(failure)
    if (waiting.length >= maxWaiting) {
      return Promise.reject(
        new Fault('STORE_UNAVAILABLE', `${maxWaiting} requests wait for the store already`),
      )
    }
    return new Promise((resolve, reject) => {
      waiting.push({ request, resolve, reject })
      flush()
    })
  }

  async function askRange(type: 'list' | 'count', prefix: StoreKey, range: StoreRange = {}): Promise<Reply> {
    const reply = await ask({ type, prefix, range })
    if (reply.type === 'gone') throw revisionGone(range.atRevision!)
    return reply
  }

  function flush(): void {
    if (inFlight.length > 0 || waiting.length === 0) return
    inFlight = waiting.splice(0, maxBatch)
    worker.postMessage(inFlight.map(({ request }) => request))
  }

  worker.on('message', (message: WorkerMessage) => {
    const batch = inFlight
    inFlight = []
    const replies = message.type === 'replies' ? message.replies : []
    // Watches learn of a change no later than its writer.
    for (const reply of replies) {
      if (reply.type === 'committed' && reply.events.length > 0) feed.append(reply.revision, reply.events)
      if (reply.type === 'replaced') feed.skip(reply.revision)
    }
    for (const [index, reply] of replies.entries()) {
      const { request, resolve, reject } = batch[index]!
      if (request.type === 'transaction') noteWrite(reply)
      if (reply.type === 'failed') reject(fromWorker(reply))
      else resolve(reply)
    }
    flush()
  })

  function noteWrite(reply: Reply | Failed): void {
    if (reply.type === 'failed' && !writesFail) log.error('store.writes-fail', { error: fromWorker(reply) })
    if (reply.type === 'committed' && writesFail) log.info('store.writes-go-on')
    if (reply.type === 'failed' || reply.type === 'committed') writesFail = reply.type === 'failed'
  }

  function fail(error: Fault): void {
    failure ??= error
    for (const { reject } of [...inFlight, ...waiting.splice(0)]) reject(failure)
    inFlight = []
    feed.close()
  }
  worker.on('error', (error) => {
    fail(
      new Fault('STORE_UNAVAILABLE', `the store's worker failed: ${(error as Error).message}`, {
        cause: error,
      }),
    )
  })
  worker.on('exit', () => fail(storeClosed()))

  return {
    async get(key) {
      return expectReply(await ask({ type: 'get', key }), 'entry').entry
    },
    async list(prefix, range) {
      const { type: _, ...part } = expectReply(await askRange('list', prefix, range), 'entries')
      return part
    },
    async count(prefix, range) {
      return expectReply(await askRange('count', prefix, range), 'counted').count
    },
    async transaction(compares, operations) {
      const own = operations.map((operation) =>
        operation.type === 'put' ? { ...operation, value: alone(operation.value) } : operation,
      )
      const reply = await ask({ type: 'transaction', compares, operations: own })
      if (reply.type === 'conflict') return { ok: false, conflict: reply.key }
      return { ok: true, revision: expectReply(reply, 'committed').revision }
    },
    async replaceAll(entries, { aboveRevision }) {
      const own = entries.map(({ key, value }) => ({ key, value: alone(value) }))
      const reply = await ask({ type: 'replaceAll', entries: own, aboveRevision })
      const { revision } = expectReply(reply, 'replaced')
      return { revision }
    },
    watch: feed.watch,
    async [Symbol.asyncDispose]() {
      // What has been asked is answered first: messages are handled in order.
      while (inFlight.length > 0 || waiting.length > 0) await once(worker, 'message')
      closing ??= (async () => {
        const exited = once(worker, 'exit')
        worker.postMessage('close')
        await exited
      })()
      await closing
    },
  }
}

/** A message carries all of what a small Buffer is a part of, 64 KiB, and whoever gets it keeps that in memory. */
const alone = (value: Uint8Array) =>
  value.byteLength === value.buffer.byteLength ? value : new Uint8Array(value)

function fromWorker({ code, message, hint }: Failed): Fault {
  return new Fault(code, message, hint === undefined ? {} : { hint })
}
