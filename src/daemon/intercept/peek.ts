import type { Socket } from 'node:net'
import { parseClientHello, type ClientHello } from '#wire/client-hello'

/** How a connection begins. `silent`: nothing came before the look was called off. `gone`: it closed. */
export type Opening =
  | Extract<ClientHello, { kind: 'hello' | 'invalid' }>
  | { readonly kind: 'not-tls' }
  | { readonly kind: 'silent' }
  | { readonly kind: 'gone' }

/**
 * Reads the first bytes of a paused socket until they tell what they are (at most 17 KiB, the parser's bound),
 * and puts them back. `onPart` is called once when a part of a ClientHello has come. `callOff` ends the look only while
 * no byte has come. An end without a byte is `silent`: whoever takes over sees it again.
 */
export function peekOpening(
  socket: Socket,
  { onPart }: { onPart?: () => void } = {},
): { readonly opening: Promise<Opening>; readonly callOff: () => void } {
  let callOff = () => {}
  const opening = new Promise<Opening>((resolve) => {
    let seen: Buffer | undefined

    function settle(opening: Opening): void {
      socket.off('readable', look)
      socket.off('end', onEnd)
      socket.off('close', onClose)
      if (seen && !socket.destroyed && !socket.readableEnded) socket.unshift(seen)
      resolve(opening)
    }

    function look(): void {
      const bytes = socket.read() as Buffer | null
      if (bytes === null) return
      const isFirst = seen === undefined
      seen = seen === undefined ? bytes : Buffer.concat([seen, bytes])
      const answer = parseClientHello(seen)
      if (answer.kind !== 'incomplete') settle(answer)
      else if (isFirst) onPart?.()
    }

    // An unfinished ClientHello that ends can become nothing; without a byte the end itself is passed on.
    const onEnd = () => settle(seen ? { kind: 'gone' } : { kind: 'silent' })
    const onClose = () => settle({ kind: 'gone' })
    callOff = () => {
      if (!seen) settle({ kind: 'silent' })
    }

    if (socket.destroyed) return resolve({ kind: 'gone' })
    socket.on('readable', look)
    socket.on('end', onEnd)
    socket.on('close', onClose)
    look()
  })
  return { opening, callOff }
}
