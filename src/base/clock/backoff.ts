/**
 * Delay before attempt number `attempt` (0 = first retry): doubles from `baseMs` up to `maxMs`, with full
 * jitter in its upper half so that many clients do not return at once. `random` yields [0, 1).
 */
export function backoffMs(
  attempt: number,
  { baseMs, maxMs, random }: { baseMs: number; maxMs: number; random: () => number },
): number {
  const ceiling = Math.min(maxMs, baseMs * 2 ** Math.min(attempt, 30))
  return ceiling / 2 + (ceiling / 2) * random()
}

/** `ms` shortened by up to `fraction` of itself. */
export function jittered(ms: number, fraction: number, random: () => number): number {
  return ms * (1 - fraction * random())
}
