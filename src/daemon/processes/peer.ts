import type { Clock } from '#base/clock'
import { Fault, toFault, type FaultCode } from '#base/errors'

/** Methods one side answers: what goes in and what comes out. Values must survive the structured clone. */
export type Protocol = Record<string, { request: unknown; response: unknown }>

export type Answers<P extends Protocol> = {
  readonly [K in keyof P]: (request: P[K]['request']) => Promise<P[K]['response']> | P[K]['response']
}

/** The other side of a channel. */
export interface Peer<P extends Protocol> {
  /** @throws Fault DAEMON_UNREACHABLE when the other side is gone or silent; else what it threw */
  call<K extends keyof P & string>(
    method: K,
    request: P[K]['request'],
    options?: { readonly timeoutMs?: number },
  ): Promise<P[K]['response']>
}

/** A `ChildProcess`, or `process` in a child. */
export interface Endpoint {
  readonly connected: boolean
  send?(message: object, callback: (error: Error | null) => void): boolean
  on(event: 'message', listener: (message: unknown) => void): unknown
  on(event: 'disconnect', listener: () => void): unknown
}

interface Call {
  readonly call: number
  readonly method: string
  readonly request: unknown
}

interface Answer {
  readonly answer: number
  readonly response?: unknown
  readonly fault?: { readonly code: FaultCode; readonly message: string; readonly hint?: string }
}

interface Pending {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Fault) => void
}

function faultOf({ code, message, hint }: NonNullable<Answer['fault']>): Fault {
  return new Fault(code, message, hint === undefined ? {} : { hint })
}

function faultFields(error: unknown): NonNullable<Answer['fault']> {
  const { code, message, hint } = toFault(error)
  return { code, message, ...(hint !== undefined && { hint }) }
}

/**
 * Opens typed calls over an IPC channel with advanced serialisation; both sides may call. At most `maxPending`
 * calls wait at once (more are refused), each for at most `timeoutMs` unless the call says otherwise.
 */
export function openPeer<Theirs extends Protocol, Ours extends Protocol>({
  endpoint,
  answers,
  clock,
  timeoutMs,
  maxPending = 4096,
}: {
  endpoint: Endpoint
  answers: Answers<Ours>
  clock: Clock
  timeoutMs: number
  maxPending?: number
}): Peer<Theirs> {
  const pending = new Map<number, Pending>()
  let lastCall = 0
  const send = (message: object, onError: (error: Error) => void) => {
    if (!endpoint.connected || !endpoint.send) return onError(new Error('the channel is closed'))
    endpoint.send(message, (error) => error && onError(error))
  }
  const answerCall = async ({ call, method, request }: Call) => {
    const reply: { answer: number; response?: unknown; fault?: Answer['fault'] } = { answer: call }
    try {
      if (!Object.hasOwn(answers, method)) throw new TypeError(`no method ${method}`)
      reply.response = await answers[method as keyof Ours](request)
    } catch (error) {
      reply.fault = faultFields(error)
    }
    send(reply, () => {}) // the caller is gone: nobody waits for the answer
  }
  endpoint.on('message', (message) => {
    if (typeof message !== 'object' || message === null) return
    if ('call' in message) void answerCall(message as Call)
    else if ('answer' in message) {
      const { answer, response, fault } = message as Answer
      const waiting = pending.get(answer)
      if (fault) waiting?.reject(faultOf(fault))
      else waiting?.resolve(response)
    }
  })
  endpoint.on('disconnect', () => {
    const gone = new Fault('DAEMON_UNREACHABLE', 'the other process of the daemon has gone')
    for (const { reject } of pending.values()) reject(gone)
  })
  return {
    call(method, request, options) {
      if (pending.size >= maxPending) {
        return Promise.reject(
          new Fault('DAEMON_UNREACHABLE', `${maxPending} calls wait for an answer already`),
        )
      }
      const call = ++lastCall
      const limitMs = options?.timeoutMs ?? timeoutMs
      let cancel = () => {}
      return new Promise((resolve, reject) => {
        const fail = (error: unknown) => reject(toFault(error, 'DAEMON_UNREACHABLE'))
        const expire = () =>
          fail(new Fault('DAEMON_UNREACHABLE', `no answer to ${method} within ${limitMs} ms`))
        // Where this process was late itself, the answer may lie there unread: it is read first.
        cancel = clock.after(limitMs, () => setImmediate(expire), { unref: true })
        pending.set(call, { resolve, reject: fail })
        send({ call, method, request } satisfies Call, fail)
      }).finally(() => {
        pending.delete(call)
        cancel()
      })
    },
  }
}
