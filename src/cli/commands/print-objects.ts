import { stringify } from 'yaml'
import { Fault } from '#base/errors'
import type { EpochMs } from '#base/clock'
import { kindNamed, type KindDefinition, type Resource } from '#model/resource'
import { cellOf, columnsOf, evaluateJsonPath, isNameColumn } from '#model/printing'
import { formatTable } from '#cli/output'

/** `service.core.riptides.io/aws`, as kubectl names an object in its messages. */
export function qualifiedName({ singular, group }: KindDefinition, name: string): string {
  return `${group === '' ? singular : `${singular}.${group}`}/${name}`
}

export function definitionFor(object: Resource): KindDefinition {
  return kindNamed(object.apiVersion, object.kind)!
}

function tableOf(objects: readonly Resource[], definition: KindDefinition, options: PrintOptions): string {
  const columns = columnsOf(definition).filter(({ wide }) => !wide || options.output === 'wide')
  const rows = objects.map((object) => {
    const row = columns.map((column) => {
      const cell = cellOf(object, column, options.now)
      return options.qualified && isNameColumn(column) ? qualifiedName(definition, cell) : cell
    })
    return options.namespaced ? [object.metadata.namespace ?? '', ...row] : row
  })
  const headings = columns.map(({ name }) => name)
  return formatTable(options.namespaced ? ['NAMESPACE', ...headings] : headings, rows)
}

export interface PrintOptions {
  /** As given to `-o`; undefined: a table. */
  readonly output: string | undefined
  readonly now: EpochMs
  /** One object was asked for by name: yaml and json show it bare, not in a list. */
  readonly single: boolean
  /** Table rows carry kind/name, because several kinds were asked for. */
  readonly qualified: boolean
  /** YAML and JSON show who owns which field. */
  readonly managedFields?: boolean | undefined
  /** Table rows carry the namespace, because every one was asked for. */
  readonly namespaced?: boolean | undefined
}

function withoutManagedFields(object: Resource): object {
  const { managedFields: _, ...metadata } = object.metadata
  return { ...object, metadata }
}

/** Renders objects as `-o` says. @throws Fault SETTING_INVALID for an output format that there is not. */
export function renderObjects(objects: readonly Resource[], options: PrintOptions): string {
  const { output, single, managedFields } = options
  const shown = managedFields ? objects : objects.map(withoutManagedFields)
  const value = single
    ? shown[0]
    : { apiVersion: 'v1', kind: 'List', metadata: { resourceVersion: '' }, items: shown }
  if (output === undefined || output === 'wide') {
    const definitions = [...new Set(objects.map(definitionFor))]
    return definitions
      .map((definition) =>
        tableOf(
          objects.filter((object) => definitionFor(object) === definition),
          definition,
          options,
        ),
      )
      .join('\n\n')
  }
  if (output === 'yaml') return stringify(value, { lineWidth: 0 })
  if (output === 'json') return JSON.stringify(value, null, 2)
  if (output === 'name')
    return objects.map((object) => qualifiedName(definitionFor(object), object.metadata.name)).join('\n')
  if (output.startsWith('jsonpath=')) return evaluateJsonPath(output.slice('jsonpath='.length), value)
  throw new Fault(
    'SETTING_INVALID',
    `unable to match a printer suitable for the output format ${JSON.stringify(output)}`,
    {
      hint: 'formats: wide, yaml, json, name, jsonpath=TEMPLATE',
    },
  )
}
