/** A relay before a proxy that wants CONNECT, for a load generator that does not say it. Not part of what is measured. */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { host } from './place.ts'

export async function openTunnel(
  proxyPort: number,
  upstream: number,
): Promise<AsyncDisposable & { port: number }> {
  const greeting = `CONNECT ${host}:${upstream} HTTP/1.1\r\nHost: ${host}:${upstream}\r\n\r\n`
  const server = createServer({ noDelay: true, pauseOnConnect: true }, (client) => {
    const proxy = connect({ port: proxyPort, host: '127.0.0.1', noDelay: true })
    for (const [one, other] of [
      [client, proxy],
      [proxy, client],
    ] as const) {
      one.on('error', () => other.destroy())
      one.on('close', () => other.destroy())
    }
    proxy.write(greeting)
    proxy.once('data', (answer: Buffer) => {
      if (answer.toString('latin1').startsWith('HTTP/1.1 200 ')) client.pipe(proxy).pipe(client)
      else client.destroy()
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      await closed
    },
  }
}
