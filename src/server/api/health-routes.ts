import type { FastifyInstance } from 'fastify'
import type { Readiness } from '#base/lifecycle'

/**
 * The probes of Kubernetes' API servers, with `?verbose` in their words: `/livez` and the older `/healthz` say that
 * requests are answered, `/readyz` that nothing is still to be waited for. Served to anyone: they say no more.
 */
export function healthRoutes(app: FastifyInstance, readiness: Pick<Readiness, 'blockers'>): void {
  for (const probe of ['healthz', 'livez', 'readyz']) {
    app.get<{ Querystring: { verbose?: string } }>(
      `/${probe}`,
      { config: { public: true } },
      ({ query }, reply) => {
        const blockers = probe === 'readyz' ? readiness.blockers() : []
        const ready = blockers.length === 0
        void reply.code(ready ? 200 : 503).type('text/plain; charset=utf-8')
        if (ready && query.verbose === undefined) return 'ok'
        const waiting = blockers.map((name) => `[-]${name} failed: it is still waited for`)
        const verdict = `${probe} check ${ready ? 'passed' : 'failed'}`
        return `${['[+]ping ok', ...waiting, verdict].join('\n')}\n`
      },
    )
  }
}
