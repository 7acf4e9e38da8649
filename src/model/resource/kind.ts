import { Type, type Static, type TSchema } from 'typebox'
import type { FieldError } from './field-error.ts'
import {
  objectMeta,
  type ClusterObjectMeta,
  type DraftMeta,
  type NameForm,
  type ObjectMeta,
} from './object-meta.ts'

export const coreGroup = 'core.riptides.io'
export const authGroup = 'auth.riptides.io'

/** One column of `ctl get`. */
export type Column = {
  readonly name: string
  readonly type: 'string' | 'integer' | 'date'
  readonly description: string
  /** Shown with `-o wide` only. */
  readonly wide?: true
} & (
  | {
      /** Simple JSONPath such as `.status.state`. */
      readonly path: string
    }
  | {
      /** What an object says in it, where that is at no one path. */
      readonly says: (object: never) => string | undefined
    }
)

/** Everything that is known about one kind. */
export interface KindDefinition<K extends string = string> {
  readonly kind: K
  /** '' for the core group of Kubernetes. */
  readonly group: string
  readonly version: string
  readonly apiVersion: string
  /** Whether its objects lie in namespaces, or belong to the control plane as a whole and have none. */
  readonly scope: 'Namespaced' | 'Cluster'
  /** What its objects may be called; a subdomain unless given. */
  readonly names?: NameForm
  readonly plural: string
  readonly singular: string
  readonly shortNames: readonly string[]
  /** Names of sets of kinds that it belongs to; `all` is what `kubectl get all` shows. */
  readonly categories?: readonly string[]
  /** Other spellings of the plural that are understood. */
  readonly aliases: readonly string[]
  readonly description: string
  /** JSON Schema of the whole object. `writeOnly: true` marks what is never given back. */
  readonly schema: TSchema
  /** The name comes before them, unless it is one of them. */
  readonly columns: readonly Column[]
  /** Paths that field selectors may name, besides `metadata.name` and `metadata.namespace`. */
  readonly selectableFields?: readonly string[]
  /** Rules that a schema cannot say. The object has passed the schema. */
  readonly check: (object: never) => FieldError[]
  /** What an operator should know about a valid object. */
  readonly warn: (object: never) => string[]
  /** Paths of fields that are accepted but not acted on yet. */
  readonly unsupported: (object: never) => string[]
}

export function objectSchema<K extends string, Spec extends TSchema, Status extends TSchema>(
  apiVersion: string,
  kind: K,
  description: string,
  { spec, status }: { spec: Spec; status: Status },
) {
  return Type.Object(
    {
      apiVersion: Type.Literal(apiVersion, { description: 'API group and version.' }),
      kind: Type.Literal(kind, { description: 'Kind of the object.' }),
      metadata: objectMeta,
      spec,
      status: Type.Optional(status),
    },
    { additionalProperties: false, description },
  )
}

/** Defines a kind with a specification and a status. */
export function defineKind<const K extends string, Spec extends TSchema, Status extends TSchema>(definition: {
  kind: K
  group: string
  plural: string
  shortNames?: readonly string[]
  aliases?: readonly string[]
  description: string
  spec: Spec
  status: Status
  columns: readonly Column[]
  categories?: readonly string[]
  selectableFields?: readonly string[]
  check?: (spec: Static<Spec>) => FieldError[]
  warn?: (spec: Static<Spec>) => string[]
  unsupported?: (spec: Static<Spec>) => string[]
}) {
  const { kind, group, description, spec, status, check, warn, unsupported } = definition
  const apiVersion = `${group}/v1alpha1`
  return {
    kind,
    group,
    version: 'v1alpha1',
    apiVersion,
    scope: 'Namespaced',
    plural: definition.plural,
    singular: kind.toLowerCase(),
    shortNames: definition.shortNames ?? [],
    categories: definition.categories ?? ['all', 'tideway'],
    aliases: definition.aliases ?? [],
    description,
    schema: objectSchema(apiVersion, kind, description, { spec, status }),
    columns: definition.columns,
    selectableFields: ['status.state', ...(definition.selectableFields ?? [])],
    check: ({ spec }: { spec: Static<Spec> }) => check?.(spec) ?? [],
    warn: ({ spec }: { spec: Static<Spec> }) => warn?.(spec) ?? [],
    unsupported: ({ spec }: { spec: Static<Spec> }) => unsupported?.(spec) ?? [],
  } as const
}

/** A stored object of a kind with specification and status. */
export interface ObjectOf<K extends string, Spec, Status> {
  apiVersion: string
  kind: K
  metadata: ObjectMeta
  spec: Spec
  status?: Status
}

/** An object as a client may send it: the server fills in the rest. */
export type Draft<R> = R extends { metadata: ObjectMeta | ClusterObjectMeta }
  ? Omit<R, 'metadata' | 'status'> & { metadata: DraftMeta; status?: unknown }
  : never

export const nameColumn: Column = {
  name: 'NAME',
  path: '.metadata.name',
  type: 'string',
  description: 'Name, unique among the objects of its kind in the namespace.',
}

export const stateColumn: Column = {
  name: 'STATE',
  path: '.status.state',
  type: 'string',
  description: 'State in one word.',
}

export const ageColumn: Column = {
  name: 'AGE',
  path: '.metadata.creationTimestamp',
  type: 'date',
  description: 'Time since creation.',
}

export const messageColumn: Column = {
  name: 'MESSAGE',
  path: '.status.message',
  type: 'string',
  description: 'Why, and what to do next.',
  wide: true,
}
