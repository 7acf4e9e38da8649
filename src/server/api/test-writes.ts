import { core } from './test-objects.ts'
import type { Answer, TestServer } from './test-server.ts'

export const services = `/apis/${core}/namespaces/riptides-system/services`
export const path = `${services}/aws`
export const secretPath = '/api/v1/namespaces/riptides-system/secrets/api'

const types = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
}

export const patch = (server: TestServer, type: keyof typeof types, to: string, body: unknown) =>
  server.ask('PATCH', to, { contentType: types[type], body })

export const applyAs = (server: TestServer, manager: string, body: unknown, query = '') =>
  patch(server, 'apply', `${path}?fieldManager=${manager}${query}`, body)

export const json = ({ body }: Answer) => JSON.parse(body)

export const config = (spec: object, metadata: object = {}) => ({
  apiVersion: core,
  kind: 'Service',
  metadata: { name: 'aws', ...metadata },
  spec,
})
