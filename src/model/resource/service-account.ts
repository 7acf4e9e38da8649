import { Type } from 'typebox'
import { ageColumn, type KindDefinition } from './kind.ts'
import { objectMeta, type ObjectMeta } from './object-meta.ts'

const description = 'A machine that uses the resource API. Deleting it ends its tokens.'

const schema = Type.Object(
  {
    apiVersion: Type.Literal('v1', { description: 'API version.' }),
    kind: Type.Literal('ServiceAccount', { description: 'Kind of the object.' }),
    metadata: objectMeta,
  },
  { additionalProperties: false, description },
)

export interface ServiceAccount {
  apiVersion: string
  kind: 'ServiceAccount'
  metadata: ObjectMeta
  /** Nothing is observed about it; here so that every object may be asked. */
  status?: undefined
}

export const serviceAccount = {
  kind: 'ServiceAccount',
  group: '',
  version: 'v1',
  apiVersion: 'v1',
  scope: 'Namespaced',
  plural: 'serviceaccounts',
  singular: 'serviceaccount',
  shortNames: ['sa'],
  categories: ['tideway'],
  aliases: [],
  description,
  schema,
  columns: [ageColumn],
  check: () => [],
  warn: () => [],
  unsupported: () => [],
} as const satisfies KindDefinition<'ServiceAccount'>
