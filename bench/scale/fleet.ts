/** Many daemons, in a few processes: each daemon has its own memory to clean up, and a machine of its own. */
import { fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Answer, Condition, Message, Request } from './fleet-part.ts'
import { daemonName, joinToken } from './objects.ts'
import { inParallel } from './parallel.ts'
import type { Server } from './server.ts'

const joinsAtOnce = 16
const maxProcesses = 4
const partProgram = join(import.meta.dirname, 'fleet-part.ts')

export interface Fleet extends AsyncDisposable {
  /** Of its processes. */
  readonly pids: readonly number[]
  /** Of its daemons, in order. */
  readonly names: readonly string[]
  /** Opens all streams at once. */
  connect(): Promise<void>
  /** From here on `synced` means: since now. */
  forget(): Promise<void>
  /** Resolves when `condition` is true of each daemon of `names`; rejects on abort. */
  until(condition: Condition, names: readonly string[], signal: AbortSignal): Promise<void>
}

/** A process with a part of the fleet. */
function openPart() {
  const child = fork(partProgram, { execArgv: ['--disable-warning=ExperimentalWarning'] })
  const ended = once(child, 'exit')
  const waiting = new Map<number, (error?: Error) => void>()
  let asked = 0
  child.on('message', ({ id, error }: Answer) => {
    waiting.get(id)?.(error === undefined ? undefined : new Error(error))
    waiting.delete(id)
  })
  child.once('exit', (code, signal) => {
    const error = new Error(`a process of the fleet ended: ${signal ?? code}`)
    for (const settle of waiting.values()) settle(error)
  })
  return {
    pid: child.pid!,
    async ask(request: Request): Promise<void> {
      const id = (asked += 1)
      await new Promise<void>((resolve, reject) => {
        waiting.set(id, (error) => (error ? reject(error) : resolve()))
        child.send({ id, ...request } satisfies Message)
      })
    },
    async [Symbol.asyncDispose]() {
      if (child.connected) child.disconnect()
      await ended
    },
  }
}

/** Joins `count` daemons, each with a join token of its own. */
export async function joinFleet(
  server: Server,
  { count, folder, signal }: { count: number; folder: string; signal: AbortSignal },
): Promise<Fleet> {
  await using stack = new AsyncDisposableStack()
  const parts = Array.from({ length: Math.min(maxProcesses, count) }, () => stack.use(openPart()))
  const names = Array.from({ length: count }, (_, index) => daemonName(index))
  const indexes = new Map(names.map((name, index) => [name, index]))
  const partOf = (name: string) => parts[indexes.get(name)! % parts.length]!
  const askAll = async (request: Request) => void (await Promise.all(parts.map((part) => part.ask(request))))
  const { url, caHash } = server
  await inParallel(names.entries(), joinsAtOnce, async ([index, name]) => {
    const token = randomBytes(24).toString('base64url')
    await server.client.create(joinToken(index, token), { signal })
    await partOf(name).ask({ do: 'join', name, stateDir: join(folder, name), token, url, caHash })
  })
  const owned = stack.move()
  return {
    pids: parts.map(({ pid }) => pid),
    names,
    connect: () => askAll({ do: 'connect' }),
    forget: () => askAll({ do: 'forget' }),
    async until(condition, among, until) {
      const aborted = Promise.withResolvers<never>()
      const abort = () => aborted.reject(new Error(`not all of ${among.length} daemons are ${condition.is}`))
      until.addEventListener('abort', abort, { once: true })
      if (until.aborted) abort()
      const asked = [...Map.groupBy(among, partOf)].map(([part, of]) =>
        part.ask({ do: 'await', condition, names: of }),
      )
      try {
        await Promise.race([Promise.all(asked), aborted.promise])
      } finally {
        until.removeEventListener('abort', abort)
        aborted.promise.catch(() => {})
      }
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}
