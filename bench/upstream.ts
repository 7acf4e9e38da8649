/** The upstream of the bench: answers every request head with one fixed response, over TLS, without an HTTP stack. */
import { createServer } from 'node:tls'
import type { AddressInfo } from 'node:net'
import { order, report, type UpstreamOrder } from './messages.ts'

const { keyPem, certPem } = await order<UpstreamOrder>()
const body = JSON.stringify({ completion: 'x'.repeat(160) })
const response = Buffer.from(
  `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nx-amzn-RequestId: 0123456789abcdef\r\n\r\n${body}`,
)

const server = createServer({ key: keyPem, cert: certPem, ALPNProtocols: ['http/1.1'] }, (socket) => {
  let tail = ''
  socket.on('error', () => {})
  socket.on('data', (chunk) => {
    tail += chunk.toString('latin1')
    let end = tail.indexOf('\r\n\r\n')
    for (; end >= 0; end = tail.indexOf('\r\n\r\n')) {
      tail = tail.slice(end + 4)
      socket.write(response)
    }
  })
})
server.listen(0, '127.0.0.1', () => report({ port: (server.address() as AddressInfo).port }))
