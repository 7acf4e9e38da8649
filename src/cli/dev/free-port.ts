import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

// Below those that Linux hands out by itself (ip_local_port_range): nobody gets one between a look and its use.
const lowest = 10_000
const beyond = 32_768

/** Whether nobody listens on a TCP port of `address`, at this moment. */
export async function isFree(address: string, port: number): Promise<boolean> {
  const server = createServer()
  try {
    await once(server.listen(port, address), 'listening')
  } catch {
    return false
  }
  await new Promise((resolve) => server.close(resolve))
  return true
}

/** A TCP port of `address` for who must name it before listening there. */
export async function freePort(address: string): Promise<number> {
  for (;;) {
    const port = randomInt(lowest, beyond)
    if (await isFree(address, port)) return port
  }
}
