import { createContextKey, createContextValues } from '@connectrpc/connect'
import { fastifyConnectPlugin } from '@connectrpc/connect-fastify'
import type { FastifyPluginAsync } from 'fastify'
import { Fault } from '#base/errors'
import { pacedLog } from '#base/log'
import { Enrollment } from '#wire/proto'
import { failedCall } from './connect-error.ts'
import { openEnrollment, type EnrollmentOptions } from './enrollment.ts'
import { openRateLimit } from './rate-limit.ts'

const maxMessageBytes = 64 * 1024
/** Of one address; only refused requests count, so that a fleet behind one address can join at once. */
const refusals = { perMinute: 10, burst: 20 }
const remoteAddress = createContextKey('unknown')

/**
 * The Enrollment service for the HTTPS port of the API. Its callers are nobody yet, so its routes carry the
 * config `public: true`; each address may be refused 20 times, then 10 times a minute.
 */
export function enrollmentPlugin(options: EnrollmentOptions): FastifyPluginAsync {
  const { clock } = options
  const log = pacedLog(options.log, clock)
  const enrollment = openEnrollment({ ...options, log })
  const limit = openRateLimit({ clock, ...refusals })

  async function limited<T>(call: string, address: string, run: () => Promise<T>): Promise<T> {
    try {
      if (!limit.allows(address)) throw new Fault('RATE_LIMITED', `${address} was refused too often`)
      return await run()
    } catch (error) {
      limit.spend(address)
      throw failedCall(log, call, error, { address })
    }
  }

  return async (app) => {
    app.addHook('onRoute', (route) => {
      route.config = { ...route.config, public: true }
    })
    await app.register(fastifyConnectPlugin, {
      readMaxBytes: maxMessageBytes,
      acceptCompression: [],
      contextValues: ({ ip }) => createContextValues().set(remoteAddress, ip),
      routes: (router) =>
        router.service(Enrollment, {
          join: (request, { values }) => {
            const address = values.get(remoteAddress)
            return limited('Join', address, () => enrollment.join(request, address))
          },
          recover: (request, { values }) =>
            limited('Recover', values.get(remoteAddress), () => enrollment.recover(request)),
        }),
    })
  }
}
