/** Opens connections, sends one request on each, and keeps them until it is told to end. `node idle.ts PORT HOST COUNT` */
import { connect, type TLSSocket } from 'node:tls'
import { once } from 'node:events'

const [port, authority, count] = process.argv.slice(2)
const held: TLSSocket[] = []
const request = `GET / HTTP/1.1\r\nHost: ${authority}\r\nx-amz-content-sha256: UNSIGNED-PAYLOAD\r\n\r\n`
// Nobody's certificate is of interest here; the bench checks that what arrives is signed.
const options = {
  host: '127.0.0.1',
  port: Number(port),
  servername: authority!.split(':')[0]!,
  rejectUnauthorized: false,
}
for (let index = 0; index < Number(count); index += 1) {
  const socket = connect(options)
  socket.on('error', (error) => {
    throw error
  })
  await once(socket, 'secureConnect')
  socket.write(request)
  const [answer] = (await once(socket, 'data')) as [Buffer]
  if (!answer.toString('latin1').startsWith('HTTP/1.1 200 ')) throw new Error(answer.toString('latin1'))
  held.push(socket)
}
process.send?.('ready')
process.once('disconnect', () => process.exit(0))
