import { systemClock } from '#base/clock'

/** Resolves when `signal` aborts; never rejects. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

/**
 * Runs services until `signal` aborts or one of them ends: the first failure (or return) aborts the rest, and
 * is thrown once all have stopped.
 */
export async function runTogether(
  signal: AbortSignal,
  services: readonly ((options: { signal: AbortSignal }) => Promise<void>)[],
): Promise<void> {
  const stop = new AbortController()
  const joined = AbortSignal.any([signal, stop.signal])
  let failure: { error: unknown } | undefined
  await Promise.all(
    services.map(async (service) => {
      try {
        await service({ signal: joined })
      } catch (error) {
        if (!joined.aborted) failure ??= { error }
      } finally {
        stop.abort()
      }
    }),
  )
  if (failure) throw failure.error
}

/** Signals within this time are one: `timeout`, npm and shells pass on what the whole process group got already. */
const togetherMs = 500

/**
 * Runs a program's main function with a signal that aborts on SIGINT and SIGTERM, and returns what it returns.
 * A second signal, later, ends the process at once.
 */
export async function runProgram<T>(main: (options: { signal: AbortSignal }) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  let isInsistent = false
  const onSignal = (name: NodeJS.Signals) => {
    if (isInsistent) process.exit(name === 'SIGINT' ? 130 : 143)
    if (controller.signal.aborted) return
    controller.abort(new Error(`stopped by ${name}`))
    systemClock.after(togetherMs, () => (isInsistent = true), { unref: true })
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  try {
    return await main({ signal: controller.signal })
  } finally {
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
  }
}
