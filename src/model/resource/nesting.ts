/** Whether maps and lists lie in one another more than `depth` deep. Bytes are none of these. */
export function nestsDeeper(value: unknown, depth: number): boolean {
  let level = [value]
  // Level by level: whoever walks down runs out of stack.
  for (let reached = 0; level.length > 0; reached++) {
    if (reached > depth) return true
    level = level.flatMap((item) =>
      typeof item === 'object' && item !== null && !ArrayBuffer.isView(item) ? Object.values(item) : [],
    )
  }
  return false
}
