import { tellTlsFailure } from '#daemon/tls-failure'
import { formatResponseHead, type HeaderField, type RequestHead, type ResponseHead } from '#wire/http1'
import type { Link } from './link.ts'
import { passesHop } from './signed-head.ts'

/** What asks for the switch, and what grants it: of one hop, so that we write it ourselves. */
export const switchHeaders: readonly HeaderField[] = [
  { name: 'Connection', value: 'Upgrade' },
  { name: 'Upgrade', value: 'websocket' },
]

/** Whether a request asks for a WebSocket and for nothing else (RFC 6455 section 4.1). */
export function asksForWebSocket(head: RequestHead): boolean {
  const { method, version, framing, connection, upgradeProtocols } = head
  const well = method === 'GET' && version === '1.1' && framing.kind === 'none'
  return well && connection.includes('upgrade') && upgradeProtocols.join() === 'websocket'
}

/** Whether an answer to it grants it (RFC 6455 section 4.2.2). */
export function grantsWebSocket({ status, headers, connection }: ResponseHead): boolean {
  const upgrade = headers.find(({ name }) => name === 'upgrade')
  return status === 101 && connection.includes('upgrade') && upgrade?.value.toLowerCase() === 'websocket'
}

/**
 * Passes the grant on, and then bytes both ways until both sides have ended; frames are not looked at. A side that
 * breaks off takes the other along. Answers the reason when it did not end in order.
 */
export async function relayWebSocket(
  { client, upstream }: { client: Link; upstream: Link },
  grant: ResponseHead,
  onProgress: () => void,
): Promise<string | undefined> {
  const headers = grant.headers.filter(({ name }) => passesHop(name, grant.connection))
  void client.write(formatResponseHead({ ...grant, headers: [...headers, ...switchHeaders] }))
  await Promise.all([pass(client, upstream, onProgress), pass(upstream, client, onProgress)])
  const inOrder = client.socket.readableEnded && upstream.socket.readableEnded
  if (inOrder) return undefined
  const error = client.error ?? upstream.error
  return error ? tellTlsFailure(error) : 'one side broke off'
}

async function pass(from: Link, to: Link, onProgress: () => void): Promise<void> {
  onProgress()
  while (await from.fill(0)) {
    onProgress()
    const drained = to.write(from.take(from.held.length))
    if (drained) await drained
    if (to.closed) return
  }
  if (from.socket.readableEnded) to.end()
  else to.destroy()
}
