/** The load generator: each connection sends its next request as soon as the last was answered. */
import { connect, type TLSSocket } from 'node:tls'
import { once } from 'node:events'
import { order, report, type LoadOrder } from './messages.ts'

const { host, port, caPem, request, connections, seconds } = await order<LoadOrder>()
const bytes = Buffer.from(request)
const latencies: number[] = []
let measuring = true

async function open(): Promise<TLSSocket> {
  const socket = connect({
    host: '127.0.0.1',
    port,
    servername: host,
    ca: caPem,
    ALPNProtocols: ['http/1.1'],
  })
  await once(socket, 'secureConnect')
  return socket
}

/** Bytes of the whole response at the start of `text`; 0 while some are missing. */
function responseLength(text: string): number {
  const end = text.indexOf('\r\n\r\n')
  if (end < 0) return 0
  if (!text.startsWith('HTTP/1.1 200 ')) throw new Error(`not a success: ${text.slice(0, 300)}`)
  const length = end + 4 + Number(/content-length: *([0-9]+)/i.exec(text)![1])
  return text.length < length ? 0 : length
}

function drive(socket: TLSSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = ''
    let sentAt = performance.now()
    socket.on('error', reject)
    socket.on('close', () => (measuring ? reject(new Error('connection lost')) : resolve()))
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      if (responseLength(text) === 0) return
      text = ''
      latencies.push(performance.now() - sentAt)
      sentAt = performance.now()
      if (measuring) socket.write(bytes)
      else socket.destroy()
    })
    socket.write(bytes)
  })
}

const sockets = await Promise.all(Array.from({ length: connections }, open))
const begun = performance.now()
setTimeout(() => (measuring = false), seconds * 1000)
await Promise.all(sockets.map(drive))
const elapsed = (performance.now() - begun) / 1000
latencies.sort((a, b) => a - b)
const at = (share: number) => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))]!
report({ requests: latencies.length, seconds: elapsed, p50Ms: at(0.5), p99Ms: at(0.99) })
process.disconnect?.()
