import { Type, type Static } from 'typebox'
import { ageColumn, objectSchema, type KindDefinition } from './kind.ts'
import type { ClusterObjectMeta } from './object-meta.ts'
import { choice, closed, list, text } from './schema.ts'

const spec = closed(
  {
    finalizers: Type.Optional(
      list(text('A finalizer.'), 'Accepted and not acted on: its content always goes first.'),
    ),
  },
  'What is asked of the namespace: nothing.',
)

const status = closed(
  {
    phase: Type.Optional(
      choice(['Active', 'Terminating'], 'Whether it is being deleted with all that is in it.'),
    ),
  },
  'The state of the namespace.',
)

const description = 'A part of the control plane with names of its own.'

export interface Namespace {
  apiVersion: string
  kind: 'Namespace'
  metadata: ClusterObjectMeta
  spec?: Static<typeof spec>
  status?: Static<typeof status>
}

const { properties } = objectSchema('v1', 'Namespace', description, { spec, status })

export const namespace = {
  kind: 'Namespace',
  group: '',
  version: 'v1',
  apiVersion: 'v1',
  scope: 'Cluster',
  names: 'label',
  plural: 'namespaces',
  singular: 'namespace',
  shortNames: ['ns'],
  categories: [],
  aliases: [],
  description,
  schema: Type.Object(
    { ...properties, spec: Type.Optional(spec) },
    { additionalProperties: false, description },
  ),
  columns: [
    { name: 'STATUS', path: '.status.phase', type: 'string', description: 'The state of the namespace.' },
    ageColumn,
  ],
  selectableFields: ['status.phase'],
  check: () => [],
  warn: () => [],
  unsupported: () => [],
} as const satisfies KindDefinition<'Namespace'>
