import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { Duplex } from 'node:stream'

export interface SeenRequest {
  readonly method: string
  readonly target: string
  /** Latin1. */
  readonly body: string
}

/** The requests that Node's own HTTP parser (llhttp) finds in the bytes of one connection, up to its first refusal. */
export async function readWithNode(input: Buffer): Promise<readonly SeenRequest[]> {
  const seen: SeenRequest[] = []
  const server = createServer({ maxHeaderSize: 128 * 1024, requireHostHeader: false })
  const settled = new Promise<void>((resolve) => {
    const onRequest = (request: IncomingMessage, response: ServerResponse) => {
      let body = ''
      request.setEncoding('latin1')
      request.on('data', (part: string) => (body += part))
      request.on('end', () => {
        seen.push({ method: request.method!, target: request.url!, body })
        response.end()
      })
      request.on('error', () => resolve())
    }
    server.on('request', onRequest)
    server.on('checkContinue', onRequest)
    server.on('checkExpectation', onRequest)
    server.on('clientError', () => resolve())
    const connection = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() })
    connection.on('close', () => resolve())
    server.emit('connection', connection)
    connection.push(input)
    connection.push(null)
  })
  await settled
  return seen
}
