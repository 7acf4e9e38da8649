import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { request } from 'node:https'
import { buffer } from 'node:stream/consumers'
import type { Ceph } from './ceph.ts'

/** What is done to an exchange on its way. */
export type Alteration = (form: URLSearchParams) => void | Promise<void>

export interface StsRelay extends AsyncDisposable {
  /** STS endpoint under which exchanges pass through `alteration`. */
  endpoint(name: string, alteration: Alteration): string
}

/**
 * Stands between the control plane and Ceph's STS, which still decides: asks for sessions shorter than resources
 * may, and puts other tokens in the place of ours.
 */
export async function openStsRelay(ceph: Ceph): Promise<StsRelay> {
  const alterations = new Map<string, Alteration>()
  const pass = async (incoming: IncomingMessage, answer: ServerResponse): Promise<void> => {
    const form = new URLSearchParams((await buffer(incoming)).toString('latin1'))
    await alterations.get(incoming.url!.slice(1))?.(form)
    const { host: _host, 'content-length': _length, ...headers } = incoming.headers
    const outgoing = request(
      ceph.url,
      { method: incoming.method, headers, ca: ceph.caPem, agent: false },
      (response) => {
        answer.writeHead(response.statusCode!, response.headers)
        response.pipe(answer)
      },
    )
    outgoing.on('error', () => answer.destroy())
    outgoing.end(incoming.method === 'POST' ? form.toString() : undefined)
  }
  const server = createServer((incoming, answer) => {
    pass(incoming, answer).catch((error: Error) => answer.destroy(error))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  return {
    endpoint(name, alteration) {
      alterations.set(name, alteration)
      return `http://127.0.0.1:${port}/${name}`
    },
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}
