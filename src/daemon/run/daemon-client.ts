import { Agent, request } from 'node:http'
import { Fault, faultCatalogue, type FaultCode } from '#base/errors'

const timeoutMs = 10_000
/** The daemon holds few connections of one user: more calls wait. */
const agent = new Agent({ keepAlive: true, maxSockets: 16, timeout: timeoutMs })
const maxAnswerBytes = 4 * 1024 * 1024

function parseAnswer(status: number, text: string): unknown {
  const value: unknown = JSON.parse(text)
  if (status === 200) return value
  const { error } = value as { error?: { code?: string; message?: string } }
  const code =
    error?.code !== undefined && Object.hasOwn(faultCatalogue, error.code) ? error.code : 'INTERNAL'
  throw new Fault(code as FaultCode, error?.message ?? `the daemon answered with status ${status}`)
}

/**
 * Calls the daemon on its control socket.
 * @throws Fault DAEMON_UNREACHABLE, or what the daemon answered with
 */
export async function callDaemon(
  socketPath: string,
  method: 'GET' | 'POST',
  path: string,
  body?: unknown,
): Promise<unknown> {
  const { status, text } = await new Promise<{ status: number; text: string }>((resolve, reject) => {
    const unreachable = (reason: string, cause?: unknown) =>
      reject(
        new Fault('DAEMON_UNREACHABLE', `the daemon does not answer at ${socketPath}: ${reason}`, {
          hint: 'start it with `tideway daemon`, or name its folder with --run-dir',
          cause,
        }),
      )
    const outgoing = request({ socketPath, method, path, agent, timeout: timeoutMs }, (incoming) => {
      let text = ''
      incoming.setEncoding('utf8')
      incoming.on('data', (chunk: string) => {
        text += chunk
        if (text.length > maxAnswerBytes) incoming.destroy(new Error('the answer is too long'))
      })
      incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, text }))
      incoming.on('error', (error) => unreachable(error.message, error))
    })
    outgoing.on('timeout', () => outgoing.destroy(new Error(`nothing came within ${timeoutMs} ms`)))
    outgoing.on('error', (error) => unreachable(error.message, error))
    outgoing.end(body === undefined ? undefined : JSON.stringify(body))
  })
  return parseAnswer(status, text)
}
