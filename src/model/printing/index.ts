/**
 * How objects look to people: the cells of a kind's table, the same in `ctl get` and in what the server prints for
 * kubectl, ages, and the JSONPath of `-o jsonpath`. It lays nothing out.
 */
export { formatAge, formatInstant } from './age.ts'
export { evaluateJsonPath } from './json-path.ts'
export { cellOf, columnsOf, isNameColumn } from './object-table.ts'
