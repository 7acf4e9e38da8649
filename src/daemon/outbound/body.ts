import { Gathering } from '#base/gathering'
import { openBodyScanner, type Framing } from '#wire/http1'
import type { Budget } from './bounds.ts'
import type { Link } from './link.ts'

export type HeldBody =
  | { readonly kind: 'held'; readonly payload: Buffer }
  /** `too-large`: over `limit`. `exhausted`: all requests together hold too much. `gone`: the client left. */
  | { readonly kind: 'too-large' | 'exhausted' | 'gone' }

/**
 * Reads a whole body (its payload, without chunk framing), and calls `onProgress` as it comes. What was held stays
 * taken from `budget`; give back `payload.length` after use. @throws Fault WIRE_MALFORMED
 */
export async function holdBody(
  client: Link,
  framing: Framing,
  { limit, budget, onProgress }: { limit: number; budget: Budget; onProgress: () => void },
): Promise<HeldBody> {
  const scanner = openBodyScanner(framing)
  const body = new Gathering()
  let failure: 'too-large' | 'exhausted' | undefined

  function keep(part: Buffer): void {
    // What is not kept must not be taken either: nobody would give it back.
    if (failure) return
    if (body.length + part.length > limit) failure = 'too-large'
    else if (!budget.take(part.length)) failure = 'exhausted'
    else body.push(part)
  }

  try {
    while (!scanner.done) {
      const { consumed } = scanner.scan(client.held, keep)
      client.take(consumed)
      if (failure) break
      if (!scanner.done && !(await client.fill())) {
        budget.give(body.length)
        return { kind: 'gone' }
      }
      onProgress()
    }
  } catch (error) {
    budget.give(body.length)
    throw error
  }
  if (!failure) return { kind: 'held', payload: body.joined }
  budget.give(body.length)
  return { kind: failure }
}
