// What stands before the cloud as a load balancer does: carries bytes, and can be killed without the cloud
// forgetting anything. Started as `front.ts LISTEN-ADDRESS TARGET-ADDRESS`, both on port 443.
import { connect, createServer } from 'node:net'
import { pipeline } from 'node:stream'

const [listen, target] = process.argv.slice(2) as [string, string]
const port = 443

const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
  const cloud = connect({ host: target, port, allowHalfOpen: true, noDelay: true })
  const ignore = () => {} // a break of either side ends both
  pipeline(client, cloud, ignore)
  pipeline(cloud, client, ignore)
})
server.listen(port, listen, () => console.log('listening'))
