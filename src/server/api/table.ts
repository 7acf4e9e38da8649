import type { Clock } from '#base/clock'
import type { Column, Resource } from '#model/resource'
import { cellOf, columnsOf, isNameColumn } from '#model/printing'
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
  /** Of the same object the same: many watches are told of it. */
  object(object: Resource): object
  /** An object as one of a list. */
  item(object: Resource): object
  /** The items are the last that it says. */
  list(items: readonly object[], metadata: ListMeta): object
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

const made = new WeakMap<Resource, Map<string, { readonly at: number; readonly object: object }>>()

/** What `make` makes of an object in one form, once, or once in each unit of time that `at` counts. */
function sharedForm(form: string, object: Resource, make: () => object, at = 0): object {
  const forms = made.get(object) ?? new Map<string, { at: number; object: object }>()
  made.set(object, forms)
  const known = forms.get(form)
  if (known?.at === at) return known.object
  const fresh = make()
  forms.set(form, { at, object: fresh })
  return fresh
}

const asStored = (object: Resource): object => object

const whole = ({ kind, apiVersion, present = asStored }: ServedKind): Representation => ({
  object: (object) => sharedForm(`whole ${apiVersion}`, object, () => present(object)),
  item: present,
  list: (items, metadata) => ({ kind: `${kind}List`, apiVersion, metadata, items }),
  mark: (metadata) => ({ kind, apiVersion, metadata }),
})

const partialObject = (apiVersion: string, { metadata }: Metadata) => ({
  kind: 'PartialObjectMetadata',
  apiVersion,
  metadata,
})

const partial = (apiVersion: string): Representation => ({
  object: (object) => sharedForm(`partial ${apiVersion}`, object, () => partialObject(apiVersion, object)),
  item: (object) => partialObject(apiVersion, object),
  list: (items, metadata) => ({ kind: 'PartialObjectMetadataList', apiVersion, metadata, items }),
  mark: (metadata) => ({ kind: 'PartialObjectMetadata', apiVersion, metadata }),
})

function definitionOfColumn(column: Column) {
  const { name, type, description, wide } = column
  const format = isNameColumn(column) ? 'name' : ''
  return { name, type, format, description, priority: wide ? 1 : 0 }
}

/** What each row of a table carries besides its cells. */
const rowObjects = new Map<
  string,
  (apiVersion: string, object: Resource, present: (object: Resource) => object) => object
>([
  ['None', () => ({ object: null })],
  ['Metadata', (apiVersion, object) => ({ object: partialObject(apiVersion, object) })],
  ['Object', (_, object, present) => ({ object: present(object) })],
])

function table(apiVersion: string, definition: ServedKind, { query, clock }: Context): Representation {
  const columns = columnsOf(definition)
  const includeObject = single(query, 'includeObject') ?? 'Metadata'
  const rowObject = rowObjects.get(includeObject)
  if (!rowObject) throw badRequest('includeObject must be None, Metadata or Object')
  const show = (rows: readonly object[], metadata: ListMeta) => ({
    kind: 'Table',
    apiVersion,
    metadata,
    columnDefinitions: columns.map(definitionOfColumn),
    rows,
  })
  const row = (object: Resource) => ({
    cells: columns.map((column) => cellOf(object, column, clock.now())),
    ...rowObject(apiVersion, object, definition.present ?? asStored),
  })
  return {
    object(object) {
      const { resourceVersion } = object.metadata
      const seconds = Math.floor(clock.now() / 1000)
      const form = `table ${apiVersion} ${includeObject} ${definition.apiVersion}`
      return sharedForm(form, object, () => show([row(object)], { resourceVersion }), seconds)
    },
    item: row,
    list: show,
    // Lists have no annotations: it is what the one row is about.
    mark(metadata) {
      const object = whole(definition).mark(metadata) as Resource
      const row = { cells: columns.map(() => null), ...rowObject(apiVersion, object, asStored) }
      return show([row], { resourceVersion: metadata.resourceVersion })
    },
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
