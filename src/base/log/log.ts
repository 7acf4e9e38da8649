import { pino } from 'pino'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export type LogFields = Readonly<Record<string, unknown>>

/** A log with some fields bound. `event` is a fixed dotted name such as `svid.renewed`. */
export interface Log {
  debug(event: string, fields?: LogFields): void
  info(event: string, fields?: LogFields): void
  warn(event: string, fields?: LogFields): void
  error(event: string, fields?: LogFields): void
  /** The same log with more fields bound. */
  with(fields: LogFields): Log
}

interface Sink {
  debug(fields: object, event: string): void
  info(fields: object, event: string): void
  warn(fields: object, event: string): void
  error(fields: object, event: string): void
  child(fields: object): Sink
}

function wrap(sink: Sink): Log {
  return {
    debug: (event, fields = {}) => sink.debug(fields, event),
    info: (event, fields = {}) => sink.info(fields, event),
    warn: (event, fields = {}) => sink.warn(fields, event),
    error: (event, fields = {}) => sink.error(fields, event),
    with: (fields) => wrap(sink.child(fields)),
  }
}

/** Opens the log of program `program`, written synchronously to file descriptor `fd` (2 by default). */
export function openLog({
  program,
  level = 'info',
  fd = 2,
}: {
  program: string
  level?: LogLevel
  fd?: number
}): Log {
  const logger = pino(
    {
      level,
      base: { program, pid: process.pid },
      messageKey: 'event',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: pino.stdSerializers.errWithCause },
    },
    pino.destination({ dest: fd, sync: true }),
  )
  return wrap(logger)
}

/** A log that drops everything: for tests. */
export const silentLog: Log = Object.freeze({
  debug() {},
  info() {},
  warn() {},
  error() {},
  with: () => silentLog,
})
