import { shown } from './shown.ts'

/** Rows under headings in the manner of kubectl: columns three spaces apart, headings in capitals. */
export function formatTable(headings: readonly string[], texts: readonly (readonly string[])[]): string {
  const rows = texts.map((row) => row.map(shown))
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => (row[column] ?? '').length)),
  )
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column]! + 3))
      .join('')
      .trimEnd()
  return [headings, ...rows].map(line).join('\n')
}
