/** Deeper than any object of ours, and far from where those who walk through one run out of stack. */
export const maxDepth = 64

/** Whether maps and lists lie in one another more than `maxDepth` deep. Bytes are none of these. */
export function nestsTooDeep(value: unknown): boolean {
  let level = [value]
  // Level by level: whoever walks down runs out of stack.
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > maxDepth) return true
    level = level.flatMap((item) =>
      typeof item === 'object' && item !== null && !ArrayBuffer.isView(item) ? Object.values(item) : [],
    )
  }
  return false
}
