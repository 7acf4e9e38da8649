import { TLSSocket } from 'node:tls'
import type { Clock } from '#base/clock'
import { Fault, isFault } from '#base/errors'
import { connectHttp2, type ResponseStream } from '#daemon/http2'
import type { Grant } from '#model/policy'
import type { Dialler, Target } from './dial.ts'
import type { Limits } from './limits.ts'
import { Link } from './link.ts'
import { Pool } from './pool.ts'
import type { Route } from './route.ts'
import { SharedPool } from './shared-pool.ts'
import type { TrustSet } from './trust.ts'
import { connectTls, wantsOtherProtocol, type Protocol } from './upstream-tls.ts'

/** A connection to the verified host of a route, for one request at a time. */
export interface Upstream {
  readonly link: Link
  /** It served a request before: its end before a byte of response may be a matter of timing. */
  readonly reused: boolean
  /** Upstream has said that it did not look at the request. */
  readonly refused: boolean
  /** Upstream has said that it wants the request over HTTP/1.1: who asks again gets that. */
  readonly needsHttp1: boolean
  /** It has not answered in time, and may be gone without a word: no other request is to wait there too. */
  distrust(): void
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
  /**
   * `fresh`: not one that served before. `prefers`: what the client speaks; upstream may insist on the other.
   * @throws Fault UPSTREAM_UNREACHABLE, UPSTREAM_UNVERIFIED
   */
  acquire(owner: Owner, options: { fresh: boolean; prefers: Protocol }): Upstream | Promise<Upstream>
  /** What the upstream of a route is known to speak even where the other is preferred. */
  insistsOn(route: Route): Protocol | undefined
  /** Closes idle connections whose owner no longer `holds`. */
  retain(holds: (owner: Owner) => boolean): void
  /** Closes what has been idle too long. */
  sweep(): void
}

/** SECURITY: identity, source, namespace, destination, verified name, trust, protocol: never wider (rule 16). */
function poolKey(
  { route, grant }: Owner,
  { address, port }: Target,
  { trust, protocol }: { trust: TrustSet; protocol: Protocol },
): string {
  const { origin, identity, host, tls } = route
  return `${identity.spiffeId} ${grant.binding.sourceName} ${origin.netnsCookie} ${address} ${port} ${host} ${trust.id} ${tls ? 'tls ' : ''}${protocol}`
}

/** Where a route leads under one source and trust set: worked out once, not for every request. */
interface Way {
  readonly sourceName: string
  readonly trust: TrustSet
  readonly targets: readonly Target[]
  /** Under which connections to each target are kept. */
  readonly keys: Readonly<Record<Protocol, readonly string[]>>
  /** Host and port. */
  readonly place: string
}

function placeOf({ host, port }: Route): string {
  return `${host} ${port}`
}

/** Places remembered for the protocol that they insist on; beyond that the oldest is asked anew. */
const maxInsistent = 1024

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
  const shared = new SharedPool<Owner>({ maxIdle: limits.maxIdleUpstreams, now: () => clock.monotonic() })
  const ways = new WeakMap<Route, Way>()
  /** By place: what upstream spoke although the other was preferred. It decides over nothing but effort. */
  const insists = new Map<string, Protocol>()
  /** Places that have asked for HTTP/1.1 although they speak HTTP/2. */
  const http1Only = new Set<string>()
  /** By key: connections on their way that all may share who ask for one meanwhile. */
  const dialling = new Map<string, Promise<Upstream>>()

  function remember(owner: Owner, trust: TrustSet, targets: readonly Target[]): Way {
    const { sourceName } = owner.grant.binding
    const keysFor = (protocol: Protocol) =>
      targets.map((target) => poolKey(owner, target, { trust, protocol }))
    const keys = { h2: keysFor('h2'), 'http/1.1': keysFor('http/1.1') }
    const way = { sourceName, trust, targets, keys, place: placeOf(owner.route) }
    ways.set(owner.route, way)
    return way
  }

  async function findWay(owner: Owner, trust: TrustSet): Promise<Way> {
    const { origin, host } = owner.route
    return remember(
      owner,
      trust,
      await dialler.targets(origin.destination, { uid: origin.process.uid, name: host }),
    )
  }

  /** When TCP to where the workload connected fails, any address of a name that has to be proved will do. */
  async function dial(route: Route, targets: readonly Target[]) {
    try {
      return await dialler.connect(targets)
    } catch (error) {
      if (!route.tls || !isFault(error, 'UPSTREAM_UNREACHABLE')) throw error
      const tried = new Set(targets.map(({ address }) => address))
      const others = await dialler.resolve(route.host, route.port, route.origin.process.uid)
      const untried = others.filter(({ address }) => !tried.has(address))
      if (untried.length === 0) throw error
      return dialler.connect(untried)
    }
  }

  function upstream(link: Link, owner: Owner, key: string, reused: boolean): Upstream {
    const release = () => pool.give(key, link, owner, clock.monotonic())
    return { link, reused, refused: false, needsHttp1: false, distrust: () => link.destroy(), release }
  }

  function streamOf(stream: ResponseStream, { place }: Way, reused: boolean): Upstream {
    const link = new Link(stream)
    stream.once('close', () => {
      if (!stream.needsHttp1) return
      insists.delete(place)
      http1Only.add(place)
      if (http1Only.size > maxInsistent) http1Only.delete(http1Only.keys().next().value!)
    })
    return {
      link,
      reused,
      get refused() {
        return stream.refused
      },
      get needsHttp1() {
        return stream.needsHttp1
      },
      distrust() {
        stream.retireConnection()
        link.destroy()
      },
      release: () => link.destroy(),
    }
  }

  function takeKept(way: Way, owner: Owner, protocol: Protocol): Upstream | undefined {
    for (const key of way.keys[protocol]) {
      if (protocol === 'h2') {
        const stream = shared.take(key, owner)
        if (stream) return streamOf(stream, way, true)
      } else {
        const link = pool.take(key)
        if (link) return upstream(link, owner, key, true)
      }
    }
    return undefined
  }

  function learn(place: string, prefers: Protocol, spoken: Protocol): void {
    if (insists.get(place) !== spoken) insists.delete(place)
    if (spoken !== prefers) insists.set(place, spoken)
    if (insists.size > maxInsistent) insists.delete(insists.keys().next().value!)
  }

  async function secure(route: Route, { trust, targets }: Way, protocols: readonly Protocol[]) {
    const { socket, target } = await dial(route, targets)
    const tls = await connectTls(socket, { name: route.host, trust, protocols, timeoutMs: limits.dialMs })
    const spoken: Protocol = tls.alpnProtocol === 'h2' ? 'h2' : 'http/1.1'
    return { socket: tls, target, spoken }
  }

  /** HTTP/1.1 is asked for alone, as most servers that are offered both take HTTP/2. */
  async function negotiate(route: Route, way: Way, prefers: Protocol) {
    if (prefers === 'h2') return secure(route, way, ['h2', 'http/1.1'])
    try {
      return await secure(route, way, ['http/1.1'])
    } catch (error) {
      if (!wantsOtherProtocol(error)) throw error
      return secure(route, way, ['h2'])
    }
  }

  async function connect({ route }: Owner, way: Way, prefers: Protocol) {
    if (route.tls) return negotiate(route, way, prefers)
    return { ...(await dial(route, way.targets)), spoken: 'http/1.1' as const }
  }

  async function open(owner: Owner, way: Way, prefers: Protocol): Promise<Upstream> {
    const { socket, target, spoken } = await connect(owner, way, prefers)
    // What answered comes first the next time.
    const others = way.targets.filter((other) => other !== target)
    const { keys } = remember(owner, way.trust, [target, ...others])
    learn(way.place, prefers, spoken)
    if (!(socket instanceof TLSSocket) || spoken === 'http/1.1') {
      return upstream(new Link(socket), owner, keys['http/1.1'][0]!, false)
    }
    shared.add(keys.h2[0]!, await connectHttp2(socket, { timeoutMs: limits.dialMs }), owner)
    const stream = shared.take(keys.h2[0]!, owner)
    if (!stream) throw new Fault('UPSTREAM_UNREACHABLE', `${owner.route.host} takes no request over HTTP/2`)
    return streamOf(stream, way, false)
  }

  /** As `open`, by one for all who ask for the same meanwhile. */
  async function openShared(owner: Owner, way: Way): Promise<Upstream> {
    const [key] = way.keys.h2
    for (let pending = dialling.get(key!); pending; pending = dialling.get(key!)) {
      await pending
      const kept = takeKept(way, owner, 'h2')
      if (kept) return kept
      if (insists.get(way.place) === 'http/1.1') return open(owner, way, 'h2')
    }
    const opened = open(owner, way, 'h2').finally(() => dialling.delete(key!))
    dialling.set(key!, opened)
    return opened
  }

  function acquireBy(
    way: Way,
    owner: Owner,
    { fresh, prefers }: { fresh: boolean; prefers: Protocol },
  ): Upstream | Promise<Upstream> {
    const wanted = http1Only.has(way.place) ? 'http/1.1' : prefers
    const protocol = owner.route.tls ? (insists.get(way.place) ?? wanted) : 'http/1.1'
    const kept = fresh ? undefined : takeKept(way, owner, protocol)
    if (kept) return kept
    return protocol === 'h2' ? openShared(owner, way) : open(owner, way, wanted)
  }

  return {
    get idle() {
      return pool.size + shared.idle
    },
    acquire(owner, options) {
      const { route, grant } = owner
      const trust = trustFor(grant.service.caBundlePem)
      const known = ways.get(route)
      const holds = known?.trust === trust && known.sourceName === grant.binding.sourceName
      if (holds) return acquireBy(known, owner, options)
      return findWay(owner, trust).then((way) => acquireBy(way, owner, options))
    },
    insistsOn(route) {
      const place = placeOf(route)
      return insists.get(place) ?? (http1Only.has(place) ? 'http/1.1' : undefined)
    },
    retain(holds) {
      pool.retain(holds)
      shared.retain(holds)
    },
    sweep() {
      const before = clock.monotonic() - limits.upstreamIdleMs
      pool.closeIdle(before)
      shared.closeIdle(before)
    },
  }
}
