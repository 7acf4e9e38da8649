// The programs of a stack under test as processes, and what they answer.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { request } from 'node:http'
import path from 'node:path'
import { text as readAll } from 'node:stream/consumers'
import type { Layout } from '#cli/dev'
import type { Place } from './place.ts'

export const tideway = path.resolve(import.meta.dirname, '../../../bin/tideway')

/** A program of the stack. */
export interface Part {
  readonly pid: number
  hasEnded(): boolean
  signal(name: NodeJS.Signals): void
  /** Sends the signal and waits for the end. */
  end(name?: NodeJS.Signals): Promise<void>
}

export async function httpGet(target: object, route: string): Promise<{ status: number; text: string }> {
  return await new Promise((resolve) => {
    const nothing = { status: 0, text: '' }
    const outgoing = request({ ...target, path: route, timeout: 2_000 }, (incoming) => {
      readAll(incoming).then(
        (text) => resolve({ status: incoming.statusCode ?? 0, text }),
        () => resolve(nothing),
      )
    })
    outgoing.on('timeout', () => outgoing.destroy())
    outgoing.on('error', () => resolve(nothing))
    outgoing.end()
  })
}

/** Starts `tideway COMMAND`, in a group and with a log of its own; `name` is the command unless there are several. */
export function startPart(
  place: Place,
  layout: Layout,
  command: string,
  args: readonly string[],
  { input, name = command }: { input?: string; name?: string } = {},
): { part: Part; assertAlive: () => true } {
  const logFile = path.join(layout.logs, `${name}.log`)
  const log = openSync(logFile, 'a', 0o600)
  const env = { TIDEWAY_CONTEXTS: layout.contexts }
  const child = place.start(name, [tideway, command, ...args], { env, stdout: log, stderr: log })
  closeSync(log)
  child.stdin!.end(input)
  const exited = once(child, 'exit')
  const hasEnded = () => child.exitCode !== null || child.signalCode !== null
  const part: Part = {
    pid: child.pid!,
    hasEnded,
    signal: (signal) => void child.kill(signal),
    async end(signal = 'SIGTERM') {
      if (!hasEnded()) child.kill(signal)
      await exited
    },
  }
  const assertAlive = () => {
    const over = child.exitCode ?? child.signalCode
    const tail = () => readFileSync(logFile, 'utf8').slice(-2000)
    assert.equal(over, null, over === null ? '' : `${name} has ended (${over}):\n${tail()}`)
    return true as const
  }
  return { part, assertAlive }
}
