import { createSocket, type Socket } from 'node:dgram'
import { formatDnsAnswer, parseDnsQuery, recordType } from './dns-message.ts'
import { placeholderAddresses } from './placeholders.ts'

const maxPending = 256

/**
 * Answers DNS queries on 127.0.0.1:53 of this network namespace by way of `resolve`. Beyond 256 open queries new
 * ones are dropped, and the client asks again.
 */
export async function openNameServer({
  overriddenHosts,
  resolve,
  port = 53,
}: {
  /** Names that need not exist: the daemon dials them elsewhere. */
  overriddenHosts: readonly string[]
  resolve: (host: string) => Promise<readonly string[]>
  port?: number
}): Promise<Socket> {
  const fixed = placeholderAddresses(overriddenHosts)
  const socket = createSocket('udp4')
  let pending = 0
  socket.on('message', (message, { port, address }) => {
    const query = parseDnsQuery(message)
    if (!query || pending >= maxPending) return
    const answer = (addresses: readonly string[] | undefined) =>
      socket.send(formatDnsAnswer(query, addresses), port, address, () => {})
    const known = fixed.get(query.name)
    const asksAddress = query.type === recordType.a || query.type === recordType.aaaa
    if (known !== undefined || !asksAddress) return answer(known === undefined ? [] : [known])
    pending++
    resolve(query.name)
      .then((addresses) => answer(addresses.length > 0 ? addresses : undefined))
      .catch(() => {}) // no answer: the client asks again
      .finally(() => pending--)
  })
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    socket.bind(port, '127.0.0.1', resolve)
  })
  return socket
}
