import type { FastifyPluginAsync } from 'fastify'
import type { RunningTokenIssuer } from './token-issuer.ts'

const discoveryPath = '.well-known/openid-configuration'
const jwksPath = 'jwks'

type Published = Pick<RunningTokenIssuer, 'discovery' | 'jwks' | 'cacheSeconds'>

/**
 * The issuer's public documents (OpenID Connect Discovery section 4), always under `/oidc` here, also when the issuer's
 * URL is elsewhere and they are copied to it: readable by anyone, which is what they are for. Route config
 * `public: true` tells the API's authentication so.
 */
export function issuerRoutes(issuer: Published): FastifyPluginAsync {
  const headers = {
    'cache-control': `public, max-age=${issuer.cacheSeconds}`,
    'content-type': 'application/json',
  }
  return async (app) => {
    const serve = (path: string, document: () => object) =>
      app.get(`/oidc/${path}`, { config: { public: true } }, (_request, reply) =>
        reply.headers(headers).send(JSON.stringify(document())),
      )
    serve(discoveryPath, () => issuer.discovery())
    serve(jwksPath, () => issuer.jwks())
  }
}

/** The same documents as files, for `tideway oidc publish`: paths relative to where the issuer URL points. */
export function issuerFiles(
  issuer: Pick<Published, 'discovery' | 'jwks'>,
): readonly { path: string; content: string }[] {
  const file = (path: string, document: object) => ({
    path,
    content: `${JSON.stringify(document, null, 2)}\n`,
  })
  return [file(discoveryPath, issuer.discovery()), file(jwksPath, issuer.jwks())]
}
