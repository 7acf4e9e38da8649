import type { FastifyInstance } from 'fastify'
import { groupsOf, describedKinds } from './discovery.ts'
import { documentOf, sendDocument } from './document.ts'
import { negotiate } from './negotiation.ts'
import { openapiV2Document, openapiV3Document } from './openapi-documents.ts'
import { encodeOpenapiV2 } from './openapi-protobuf.ts'

const json = 'application/json'
const protobuf = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf'
// As older clients ask for it; `@` may not be in a media type (RFC 6838 section 4.2).
const protobufAsked = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf'

/** The OpenAPI documents, from which `kubectl explain` and checks before an apply live. */
export function openapiRoutes(app: FastifyInstance, { version }: { version: string }): void {
  const v2 = openapiV2Document(describedKinds, version)
  const encoded = documentOf(protobuf, encodeOpenapiV2(v2))
  const forms = new Map([
    [json, documentOf(json, v2)],
    [protobuf, encoded],
    [protobufAsked, encoded],
  ])
  app.get('/openapi/v2', (request, reply) =>
    sendDocument(request, reply, negotiate(request.headers.accept, forms)),
  )

  const groups = groupsOf(describedKinds).map((group) => ({
    path: group.name === '' ? `api/${group.version}` : `apis/${group.name}/${group.version}`,
    forms: new Map([[json, documentOf(json, openapiV3Document(group.kinds, version))]]),
  }))
  const paths = groups.map(({ path, forms }) => [
    path,
    { serverRelativeURL: `/openapi/v3/${path}?hash=${forms.get(json)!.hash}` },
  ])
  const index = documentOf(json, { paths: Object.fromEntries(paths) as object })
  app.get('/openapi/v3', (request, reply) => sendDocument(request, reply, index))
  for (const { path, forms } of groups) {
    app.get<{ Querystring: { hash?: string } }>(`/openapi/v3/${path}`, (request, reply) => {
      const document = negotiate(request.headers.accept, forms)
      return sendDocument(request, reply, document, { immutable: request.query.hash === document.hash })
    })
  }
}
