import type { EpochMs } from '#base/clock'
import type { Column, KindDefinition, Resource } from '#model/resource'
import { formatInstant } from './age.ts'
import { textsAt } from './json-path.ts'

const nameColumn: Column = {
  name: 'NAME',
  path: '.metadata.name',
  type: 'string',
  description: 'Name, unique among the objects of its kind in the namespace.',
}

/** The columns of a kind's table, the name first. */
export function columnsOf({ columns }: Pick<KindDefinition, 'columns'>): readonly Column[] {
  return [nameColumn, ...columns]
}

/** What an object says in a column; several values are joined by commas. */
export function cellOf(object: Resource, { path, type }: Column, now: EpochMs): string {
  const texts = textsAt(path, object)
  // As a word, so that the columns of a line can be counted.
  if (texts.length === 0) return '<none>'
  return texts.map((text) => (type === 'date' ? formatInstant(Date.parse(text), now) : text)).join(',')
}
