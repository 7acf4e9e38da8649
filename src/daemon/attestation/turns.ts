import { Fault } from '#base/errors'

interface Queue {
  running: number
  /** Each is told when it has the place of one that has ended. */
  readonly waiting: (() => void)[]
}

/**
 * Does what is asked for under one key `atOnce` at a time, in its order, so that whoever asks for much, or for what takes
 * long, waits for himself and no other for him. Of each key `maxWaiting` wait.
 */
export function openTurns<Key>({
  atOnce,
  maxWaiting,
}: {
  atOnce: number
  maxWaiting: number
}): <T>(key: Key, run: () => Promise<T>) => Promise<T> {
  /** A key is here as long as something of it is under way. */
  const queues = new Map<Key, Queue>()
  return async (key, run) => {
    const queue = queues.get(key) ?? { running: 0, waiting: [] }
    queues.set(key, queue)
    if (queue.running < atOnce) queue.running += 1
    else if (queue.waiting.length < maxWaiting) {
      await new Promise<void>((resolve) => queue.waiting.push(resolve))
    } else throw new Fault('BUFFERS_EXHAUSTED', `${maxWaiting} wait their turn for ${String(key)} already`)
    try {
      return await run()
    } finally {
      const next = queue.waiting.shift()
      if (next) next()
      else if ((queue.running -= 1) === 0) queues.delete(key)
    }
  }
}
