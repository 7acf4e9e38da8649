/** Rows under headings in the manner of kubectl: columns three spaces apart, headings in capitals. */
export function formatTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
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

/** The time between two instants as kubectl shows ages: `45s`, `12m`, `3h5m`, `2d4h`, `40d`. */
export function formatAge(fromMs: number, toMs: number): string {
  const seconds = Math.max(0, Math.floor((toMs - fromMs) / 1000))
  if (Number.isNaN(seconds)) return '<unknown>'
  if (seconds < 120) return `${seconds}s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes}m`
  const hours = Math.floor(minutes / 60)
  if (hours < 24) return minutes % 60 && hours < 10 ? `${hours}h${minutes % 60}m` : `${hours}h`
  const days = Math.floor(hours / 24)
  return hours % 24 && days < 10 ? `${days}d${hours % 24}h` : `${days}d`
}
