import type { FastifyInstance } from 'fastify'
import type { Readiness } from '#base/lifecycle'

/**
 * The probes of Kubernetes' API servers, with `?verbose` in their words: `/livez` and the older `/healthz` say that
 * requests are answered, `/readyz` that nothing is still to be waited for, and the store takes writes.
 * SECURITY: served to anyone, so why something fails is said at the health port alone.
 */
export function healthRoutes(app: FastifyInstance, readiness: Pick<Readiness, 'obstacles'>): void {
  for (const probe of ['healthz', 'livez', 'readyz']) {
    app.get<{ Querystring: { verbose?: string } }>(
      `/${probe}`,
      { config: { public: true } },
      async ({ query }, reply) => {
        const obstacles = probe === 'readyz' ? await readiness.obstacles() : []
        const ready = obstacles.length === 0
        void reply.code(ready ? 200 : 503).type('text/plain; charset=utf-8')
        if (ready && query.verbose === undefined) return 'ok'
        const failed = obstacles.map(({ name }) => `[-]${name} failed: reason withheld`)
        const verdict = `${probe} check ${ready ? 'passed' : 'failed'}`
        return `${['[+]ping ok', ...failed, verdict].join('\n')}\n`
      },
    )
  }
}
