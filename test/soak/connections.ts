// The TCP connections of this network namespace that belong to the way of the requests.
import { readFileSync } from 'node:fs'
import { frontAddress } from './stage.ts'

const capturePort = 15_443
const cloudPort = 443
/** Those that last until somebody closes them, by the number of the kernel; the others go by themselves. */
const lasting: ReadonlyMap<string, string> = new Map([
  ['01', 'established'],
  ['08', 'not closed by us'],
])

/** As `/proc/net/tcp` writes it: the bytes of the address in the order of this machine. */
const front = Buffer.from(frontAddress.split('.').map(Number).toReversed()).toString('hex').toUpperCase()

/** From workloads to the daemon and from anybody to the front, that somebody still holds: a line of text for each. */
export function heldConnections(): string[] {
  const lines = ['tcp', 'tcp6'].flatMap((table) =>
    readFileSync(`/proc/self/net/${table}`, 'utf8').trim().split('\n').slice(1),
  )
  return lines.flatMap((line) => {
    const [, local = '', remote = '', state = ''] = line.trim().split(/\s+/)
    const isOnTheWay = [local, remote].some((end) => {
      const [address, port] = end.split(':') as [string, string]
      const number = Number.parseInt(port, 16)
      return number === capturePort || (number === cloudPort && address === front)
    })
    return isOnTheWay && lasting.has(state) ? [`${local} to ${remote}, ${lasting.get(state)}`] : []
  })
}
