// What the tables speak of.
import type { Table } from '../exchange.ts'

export const core = 'core.riptides.io/v1alpha1'
export const rbac = 'rbac.authorization.k8s.io/v1'

export const servicesIn = (namespace: string) => `/apis/${core}/namespaces/${namespace}/services`
export const in1 = (namespace: string, plural: string) => `/api/v1/namespaces/${namespace}/${plural}`

export const spec = { labels: { app: 'x' }, addresses: [{ address: 'sts.amazonaws.com', port: 443 }] }

export const service = (metadata: object | string, more: object = {}) => ({
  apiVersion: core,
  kind: 'Service',
  metadata: typeof metadata === 'string' ? { name: metadata } : metadata,
  spec,
  ...more,
})

export const types = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
}

export const table = (name: string, cases: Table['cases']): Table => ({ name, cases })
