import { toFault } from '#base/errors'
import { isRefusal } from './admission.ts'
import type { Plane } from './plane.ts'
import type { Refusal } from './refusal.ts'
import type { Protocol } from './upstream-tls.ts'
import type { Owner, Upstream } from './upstreams.ts'

/** An upstream that is not there yet. `callOff` ends the wait: it is refused then, and closed should it come. */
export interface Reaching {
  readonly reached: Promise<Upstream | Refusal>
  readonly callOff: () => void
}

/** An upstream for a request, at once where one is kept; conditions tell what became of it. */
export function reachUpstream(
  { conditions, upstreams }: Plane,
  owner: Owner,
  options: { fresh: boolean; prefers: Protocol },
): Upstream | Reaching {
  const { host } = owner.route
  const subject = `service/${owner.grant.service.name}`

  /** A kept connection, too, says that all is well. */
  function succeed(upstream: Upstream): Upstream {
    conditions.clear(subject, 'UpstreamVerified')
    conditions.clear(subject, 'UpstreamReachable')
    return upstream
  }

  function fail(error: unknown): Refusal {
    const { code, message } = toFault(error, 'UPSTREAM_UNREACHABLE')
    const type = code === 'UPSTREAM_UNVERIFIED' ? 'UpstreamVerified' : 'UpstreamReachable'
    conditions.raise(subject, type, code, message)
    // Who shows a certificate has been reached.
    if (type === 'UpstreamVerified') conditions.clear(subject, 'UpstreamReachable')
    return { status: 502, code, reason: message }
  }

  const acquired = upstreams.acquire(owner, options)
  if (!(acquired instanceof Promise)) return succeed(acquired)
  const reached = acquired.then(succeed, fail)
  // A name may have many addresses, each of which takes its time to say nothing: the client is told before that.
  const late = Promise.withResolvers<Refusal>()
  const callOff = () => {
    late.resolve({ status: 502, code: 'UPSTREAM_UNREACHABLE', reason: `${host} was not reached in time` })
    void reached.then((upstream) => isRefusal(upstream) || upstream.link.destroy())
  }
  return { reached: Promise.race([reached, late.promise]), callOff }
}
