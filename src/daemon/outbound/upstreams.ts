import type { Clock } from '#base/clock'
import { isFault } from '#base/errors'
import type { Grant } from '#model/policy'
import type { Dialler, Target } from './dial.ts'
import type { Limits } from './limits.ts'
import { Link } from './link.ts'
import { Pool } from './pool.ts'
import type { Route } from './route.ts'
import type { TrustSet } from './trust.ts'
import { connectTls } from './upstream-tls.ts'

/** A connection to the verified host of a route, for one request at a time. */
export interface Upstream {
  readonly link: Link
  /** It served a request before: its end before a byte of response may be a matter of timing. */
  readonly reused: boolean
  /** Keeps it for the next request: only when request and response are both complete. */
  release(): void
}

/** On whose behalf and under which grant a connection is used. */
export interface Owner {
  readonly route: Route
  readonly grant: Grant
}

/** Connects intercepted requests to where they belong, and keeps the connections between requests. */
export interface Upstreams {
  readonly idle: number
  /** `fresh`: not one that served before. @throws Fault UPSTREAM_UNREACHABLE, UPSTREAM_UNVERIFIED */
  acquire(owner: Owner, options: { fresh: boolean }): Promise<Upstream>
  /** Closes idle connections whose owner no longer `holds`. */
  retain(holds: (owner: Owner) => boolean): void
  /** Closes what has been idle too long. */
  sweep(): void
}

/** SECURITY: identity, source, namespace, destination, verified name, trust, protocol: never wider (rule 16). */
function poolKey({ route, grant }: Owner, { address, port }: Target, trust: TrustSet): string {
  const { origin, identity, host, tls } = route
  const protocol = tls ? 'tls http/1.1' : 'http/1.1'
  return [
    identity.spiffeId,
    grant.binding.sourceName,
    origin.netnsCookie,
    address,
    port,
    host,
    trust.id,
    protocol,
  ].join(' ')
}

export function openUpstreams({
  clock,
  dialler,
  limits,
  trustFor,
}: {
  clock: Clock
  dialler: Dialler
  limits: Limits
  trustFor: (caBundlePem: string | undefined) => TrustSet
}): Upstreams {
  const pool = new Pool<Owner>({
    maxTotal: limits.maxIdleUpstreams,
    maxPerKey: limits.maxIdleUpstreamsPerKey,
  })
  /** Looked up once for every intercepted connection. */
  const targetsOf = new WeakMap<Route, Promise<Target[]>>()

  function targets(route: Route): Promise<Target[]> {
    const known = targetsOf.get(route)
    if (known) return known
    const found = dialler.targets(route.origin.destination, route.host)
    targetsOf.set(route, found)
    found.catch(() => targetsOf.delete(route))
    return found
  }

  /** When TCP to where the workload connected fails, any address of a name that has to be proved will do. */
  async function connect(route: Route, wanted: readonly Target[]) {
    try {
      return await dialler.connect(wanted)
    } catch (error) {
      if (!route.tls || !isFault(error, 'UPSTREAM_UNREACHABLE')) throw error
      const tried = new Set(wanted.map(({ address }) => address))
      const others = await dialler.resolve(route.host, route.port)
      const untried = others.filter(({ address }) => !tried.has(address))
      if (untried.length === 0) throw error
      return dialler.connect(untried)
    }
  }

  async function open(owner: Owner, wanted: readonly Target[], trust: TrustSet): Promise<Upstream> {
    const { route } = owner
    const { socket, target } = await connect(route, wanted)
    if (!wanted.includes(target)) targetsOf.set(route, Promise.resolve([target, ...wanted]))
    const secured = route.tls
      ? await connectTls(socket, { name: route.host, trust, timeoutMs: limits.dialMs })
      : socket
    return upstream(new Link(secured), owner, poolKey(owner, target, trust), false)
  }

  function upstream(link: Link, owner: Owner, key: string, reused: boolean): Upstream {
    return { link, reused, release: () => pool.give(key, link, owner, clock.monotonic()) }
  }

  return {
    get idle() {
      return pool.size
    },
    async acquire(owner, { fresh }) {
      const trust = trustFor(owner.grant.service.caBundlePem)
      const wanted = await targets(owner.route)
      if (!fresh) {
        for (const target of wanted) {
          const key = poolKey(owner, target, trust)
          const link = pool.take(key)
          if (link) return upstream(link, owner, key, true)
        }
      }
      return open(owner, wanted, trust)
    },
    retain: (holds) => pool.retain(holds),
    sweep: () => pool.closeIdle(clock.monotonic() - limits.upstreamIdleMs),
  }
}
