// Requests as they are written, to a server on loopback: nothing between the table and the wire.
import { request as httpsRequest } from 'node:https'

export interface Message {
  readonly method: string
  /** Sent as it is. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | undefined
}

export interface Answer {
  readonly status: number
  readonly headers: NodeJS.Dict<string[]>
  readonly text: string
}

export interface Address {
  readonly url: string
  readonly caPem: string
}

export function send({ url, caPem }: Address, message: Message): Promise<Answer> {
  const { hostname, port } = new URL(url)
  const { method, path, headers, body } = message
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
    const outgoing = httpsRequest(
      { host: hostname, port, method, path, ca: caPem, agent: false, headers: { ...headers, ...length } },
      (incoming) => {
        let text = ''
        incoming.setEncoding('utf8')
        incoming.on('data', (part: string) => (text += part))
        incoming.once('error', reject)
        incoming.once('end', () =>
          resolve({ status: incoming.statusCode!, headers: incoming.headersDistinct, text }),
        )
      },
    )
    outgoing.once('error', reject)
    outgoing.end(body)
  })
}
