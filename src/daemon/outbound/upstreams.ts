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
  return `${identity.spiffeId} ${grant.binding.sourceName} ${origin.netnsCookie} ${address} ${port} ${host} ${trust.id} ${protocol}`
}

/** Where a route leads under one source and trust set: worked out once, not for every request. */
interface Way {
  readonly sourceName: string
  readonly trust: TrustSet
  readonly targets: readonly Target[]
  /** Under which connections to each target are kept. */
  readonly keys: readonly string[]
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
  const ways = new WeakMap<Route, Way>()

  function remember(owner: Owner, trust: TrustSet, targets: readonly Target[]): Way {
    const { sourceName } = owner.grant.binding
    const way = { sourceName, trust, targets, keys: targets.map((target) => poolKey(owner, target, trust)) }
    ways.set(owner.route, way)
    return way
  }

  async function findWay(owner: Owner, trust: TrustSet): Promise<Way> {
    const { origin, host } = owner.route
    return remember(owner, trust, await dialler.targets(origin.destination, host))
  }

  /** When TCP to where the workload connected fails, any address of a name that has to be proved will do. */
  async function dial(route: Route, targets: readonly Target[]) {
    try {
      return await dialler.connect(targets)
    } catch (error) {
      if (!route.tls || !isFault(error, 'UPSTREAM_UNREACHABLE')) throw error
      const tried = new Set(targets.map(({ address }) => address))
      const others = await dialler.resolve(route.host, route.port)
      const untried = others.filter(({ address }) => !tried.has(address))
      if (untried.length === 0) throw error
      return dialler.connect(untried)
    }
  }

  function upstream(link: Link, owner: Owner, key: string, reused: boolean): Upstream {
    return { link, reused, release: () => pool.give(key, link, owner, clock.monotonic()) }
  }

  async function open(owner: Owner, { trust, targets }: Way): Promise<Upstream> {
    const { route } = owner
    const { socket, target } = await dial(route, targets)
    const secured = route.tls
      ? await connectTls(socket, { name: route.host, trust, timeoutMs: limits.dialMs })
      : socket
    // What answered comes first the next time.
    const others = targets.filter((other) => other !== target)
    const { keys } = remember(owner, trust, [target, ...others])
    return upstream(new Link(secured), owner, keys[0]!, false)
  }

  return {
    get idle() {
      return pool.size
    },
    async acquire(owner, { fresh }) {
      const { route, grant } = owner
      const trust = trustFor(grant.service.caBundlePem)
      const known = ways.get(route)
      const holds = known?.trust === trust && known.sourceName === grant.binding.sourceName
      const way = holds ? known : await findWay(owner, trust)
      if (!fresh) {
        for (const key of way.keys) {
          const link = pool.take(key)
          if (link) return upstream(link, owner, key, true)
        }
      }
      return open(owner, way)
    },
    retain: (holds) => pool.retain(holds),
    sweep: () => pool.closeIdle(clock.monotonic() - limits.upstreamIdleMs),
  }
}
