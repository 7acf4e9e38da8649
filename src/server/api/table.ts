import type { Clock } from '#base/clock'
import type { Column, Resource } from '#model/resource'
import { cellOf, columnsOf } from '#model/printing'
import type { ServedKind } from './events-view.ts'
import { single, type Query } from './resource-request.ts'
import { negotiate } from './negotiation.ts'
import { badRequest } from './status.ts'

/** What a list says of itself. */
export interface ListMeta {
  readonly resourceVersion: string
  readonly continue?: string
  readonly remainingItemCount?: number
}

/** How objects are answered with: whole, as rows of a table, or as their metadata alone. */
export interface Representation {
  object(object: Resource): object
  list(objects: readonly Resource[], metadata: ListMeta): object
  /** The object of a bookmark. */
  mark(metadata: Mark): object
}

/** How far a watch has come. */
export interface Mark {
  readonly resourceVersion: string
  readonly annotations?: Readonly<Record<string, string>>
}

interface Context {
  readonly query: Query
  readonly clock: Clock
}

type Metadata = Pick<Resource, 'metadata'>

const asStored = (object: Resource): object => object

const whole = ({ kind, apiVersion, present = asStored }: ServedKind): Representation => ({
  object: present,
  list: (objects, metadata) => ({ kind: `${kind}List`, apiVersion, metadata, items: objects.map(present) }),
  mark: (metadata) => ({ kind, apiVersion, metadata: { ...metadata, creationTimestamp: null } }),
})

const partialObject = (apiVersion: string, { metadata }: Metadata) => ({
  kind: 'PartialObjectMetadata',
  apiVersion,
  metadata,
})

const partial = (apiVersion: string): Representation => ({
  object: (object) => partialObject(apiVersion, object),
  list: (objects, metadata) => ({
    kind: 'PartialObjectMetadataList',
    apiVersion,
    metadata,
    items: objects.map((object) => partialObject(apiVersion, object)),
  }),
  mark: (metadata) => ({
    kind: 'PartialObjectMetadata',
    apiVersion,
    metadata: { ...metadata, creationTimestamp: null },
  }),
})

function definitionOfColumn({ name, type, description, wide, path }: Column) {
  const format = path === '.metadata.name' ? 'name' : ''
  return { name, type, format, description, priority: wide ? 1 : 0 }
}

/** What each row of a table carries besides its cells. */
const rowObjects: Readonly<
  Record<string, (apiVersion: string, object: Resource, present: (object: Resource) => object) => object>
> = {
  None: () => ({}),
  Metadata: (apiVersion, object) => ({ object: partialObject(apiVersion, object) }),
  Object: (_, object, present) => ({ object: present(object) }),
}

function table(apiVersion: string, definition: ServedKind, { query, clock }: Context): Representation {
  const columns = columnsOf(definition)
  const includeObject = single(query, 'includeObject') ?? 'Metadata'
  const rowObject = rowObjects[includeObject]
  if (!rowObject) throw badRequest('includeObject must be None, Metadata or Object')
  const show = (objects: readonly Resource[], metadata: ListMeta | Mark) => ({
    kind: 'Table',
    apiVersion,
    metadata,
    columnDefinitions: columns.map(definitionOfColumn),
    rows: objects.map((object) => ({
      cells: columns.map((column) => cellOf(object, column, clock.now())),
      ...rowObject(apiVersion, object, definition.present ?? asStored),
    })),
  })
  return {
    object: (object) => show([object], { resourceVersion: object.metadata.resourceVersion }),
    list: show,
    mark: (metadata) => show([], metadata),
  }
}

type Form = (definition: ServedKind, context: Context) => Representation

const forms = new Map<string, Form>([
  ['application/json', whole],
  ...['v1', 'v1beta1'].flatMap((version): [string, Form][] => {
    const of = (as: string) => `application/json;as=${as};g=meta.k8s.io;v=${version}`
    const apiVersion = `meta.k8s.io/${version}`
    return [
      [of('Table'), (definition, context) => table(apiVersion, definition, context)],
      [of('PartialObjectMetadata'), () => partial(apiVersion)],
      [of('PartialObjectMetadataList'), () => partial(apiVersion)],
    ]
  }),
])

/**
 * The representation that a request accepts, as Kubernetes' clients ask for it: `as=Table` is what kubectl prints,
 * `as=PartialObjectMetadataList` what those take who look at metadata alone.
 * @throws RequestRefusal 400, 406
 */
export function representationFor(
  accept: string | undefined,
  definition: ServedKind,
  context: Context,
): Representation {
  return negotiate(accept, forms)(definition, context)
}
