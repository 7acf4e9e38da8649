/** Numbers of several rounds as text. */

export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((one, other) => one - other)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** `median [least..most]`. */
export function spread(numbers: readonly number[], digits: number): string {
  const format = (value: number) => value.toFixed(digits)
  return `${format(median(numbers))} [${format(Math.min(...numbers))}..${format(Math.max(...numbers))}]`
}

/** Rows as aligned columns, the first one left, the others right. */
export function columns(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const line = (row: readonly string[]) =>
    row
      .map((text, column) => (column === 0 ? text.padEnd(widths[0]!) : text.padStart(widths[column]!)))
      .join('  ')
  return rows.map((row) => line(row).trimEnd()).join('\n')
}
