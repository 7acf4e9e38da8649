import type { EpochMs } from '#base/clock'
import { nameColumn, type Column, type KindDefinition, type Resource } from '#model/resource'
import { formatInstant } from './age.ts'
import { textsAt } from './json-path.ts'

export const isNameColumn = ({ name }: Column): boolean => name === nameColumn.name

/** The columns of a kind's table, the name first unless the kind has it elsewhere. */
export function columnsOf({ columns }: Pick<KindDefinition, 'columns'>): readonly Column[] {
  return columns.some(isNameColumn) ? columns : [nameColumn, ...columns]
}

function textsOf(object: Resource, column: Column): readonly string[] {
  if ('path' in column) return textsAt(column.path, object)
  const text = column.says(object as never)
  return text === undefined ? [] : [text]
}

/** What an object says in a column; several values are joined by commas. */
export function cellOf(object: Resource, column: Column, now: EpochMs): string {
  const texts = textsOf(object, column)
  // As a word, so that the columns of a line can be counted.
  if (texts.length === 0) return '<none>'
  return texts.map((text) => (column.type === 'date' ? formatInstant(Date.parse(text), now) : text)).join(',')
}
