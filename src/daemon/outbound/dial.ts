import { connect, isIP, type Socket } from 'node:net'
import type { Clock } from '#base/clock'
import { Fault, isFault } from '#base/errors'
import type { LookUp } from './lookups.ts'
import type { ConnectTo } from './ports.ts'

export interface Target {
  /** IP address as text. */
  readonly address: string
  readonly port: number
}

/** Where connections go: names to addresses, overrides from daemon settings first, and TCP. */
export interface Dialler {
  /**
   * Where a destination leads: its address if it has one, else those of its host; an override for `name` (or the
   * destination's host) before both. For user `uid`. @throws Fault UPSTREAM_UNREACHABLE
   */
  targets(
    destination: { host?: string; address?: string; port: number },
    options: { uid: number; name?: string },
  ): Promise<Target[]>
  /** Addresses of `host` on `port`; empty when it has none. For user `uid`; remembered for a while. */
  resolve(host: string, port: number, uid: number): Promise<Target[]>
  /** TCP to the first target that answers, and which that was. @throws Fault UPSTREAM_UNREACHABLE */
  connect(targets: readonly Target[]): Promise<{ socket: Socket; target: Target }>
}

/** At most this many addresses of a name are tried. */
const maxTargets = 4
/** Answers for `resolve` are kept this long; of those kept beyond the bound the oldest goes. */
const rememberedMs = 10_000
const maxRemembered = 256

function unreachable(what: string, error: unknown): Fault {
  const reason = error instanceof Error ? error.message : String(error)
  return new Fault('UPSTREAM_UNREACHABLE', `${what} cannot be reached: ${reason}`, { cause: error })
}

function connectOne({ address, port }: Target, timeoutMs: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port, allowHalfOpen: true, noDelay: true })
    const onTimeout = () => socket.destroy(new Error(`no answer within ${timeoutMs} ms`))
    socket.setTimeout(timeoutMs, onTimeout)
    // Stays for good: whoever uses the socket learns of its end from `close`.
    socket.on('error', (error) => reject(unreachable(`${address} port ${port}`, error)))
    socket.once('connect', () => {
      socket.setTimeout(0, onTimeout)
      resolve(socket)
    })
  })
}

export function openDialler({
  clock,
  connectTo,
  timeoutMs,
  lookUp,
}: {
  clock: Clock
  connectTo: readonly ConnectTo[]
  timeoutMs: number
  lookUp: LookUp
}): Dialler {
  const remembered = new Map<string, { addresses: readonly string[]; until: number }>()
  const overrides = new Map(connectTo.map((entry) => [`${entry.host} ${entry.port}`, entry]))

  async function addressesOf(host: string, port: number, uid: number): Promise<Target[]> {
    const addresses = isIP(host) ? [host] : await lookUp(host, uid)
    return addresses.slice(0, maxTargets).map((address) => ({ address, port }))
  }

  return {
    async targets({ host, address, port }, { uid, name = host }) {
      const override = name === undefined ? undefined : overrides.get(`${name} ${port}`)
      if (override) return [{ address: override.address, port: override.addressPort }]
      if (address !== undefined) return [{ address, port }]
      if (host === undefined) throw new TypeError('a destination has a host or an address')
      try {
        return await addressesOf(host, port, uid)
      } catch (error) {
        throw unreachable(host, error)
      }
    },
    async resolve(host, port, uid) {
      const known = remembered.get(host)
      if (known && clock.monotonic() < known.until)
        return known.addresses.map((address) => ({ address, port }))
      let found: readonly Target[] = []
      try {
        found = await addressesOf(host, port, uid)
      } catch (error) {
        // SECURITY: that one user has waited in vain says nothing for others.
        if (isFault(error)) return []
      }
      const addresses = found.map(({ address }) => address)
      remembered.delete(host)
      remembered.set(host, { addresses, until: clock.monotonic() + rememberedMs })
      if (remembered.size > maxRemembered) remembered.delete(remembered.keys().next().value!)
      return [...found]
    },
    async connect(targets) {
      let failure: unknown = unreachable('the destination', new Error('it has no address'))
      for (const target of targets) {
        try {
          return { socket: await connectOne(target, timeoutMs), target }
        } catch (error) {
          failure = error
        }
      }
      throw failure
    },
  }
}
