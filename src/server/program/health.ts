import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { cannotListen } from '#base/errors'
import type { Readiness } from '#base/lifecycle'
import type { Log } from '#base/log'
import type { MetricsRegistry } from '#base/metrics'
import type { Listen } from './settings.ts'

/** The plain HTTP port of probes and Prometheus: nothing on it is secret, nothing can be changed by it. */
export interface HealthServer extends AsyncDisposable {
  readonly port: number
}

/** @throws Fault SETTING_INVALID when it cannot listen */
export async function openHealthServer({
  listen,
  readiness,
  metrics,
  log,
}: {
  listen: Listen
  readiness: Pick<Readiness, 'obstacles'>
  metrics: MetricsRegistry
  log: Log
}): Promise<HealthServer> {
  function answer(response: ServerResponse, status: number, body: string): void {
    response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(body)
  }
  async function sayReadiness(response: ServerResponse): Promise<void> {
    const obstacles = await readiness.obstacles()
    const reasons = obstacles.map(({ name, why }) => `${name}: ${why}\n`).join('')
    answer(response, obstacles.length === 0 ? 200 : 503, reasons || 'ok\n')
  }
  const server = createServer({ requestTimeout: 10_000 }, (request, response) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(response, 405, '')
    switch (request.url) {
      case '/healthz':
      case '/livez':
        return answer(response, 200, 'ok\n')
      case '/readyz':
        void sayReadiness(response)
        return undefined
      case '/metrics':
        metrics.render().then(
          (text) => answer(response, 200, text),
          (error: unknown) => {
            log.error('health.metrics-failed', { error })
            answer(response, 500, '')
          },
        )
        return undefined
      default:
        return answer(response, 404, '')
    }
  })
  server.maxConnections = 100
  server.listen(listen.port, listen.host)
  try {
    await once(server, 'listening')
  } catch (error) {
    throw cannotListen('health', `${listen.host}:${listen.port}`, error)
  }
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
