import { badRequest } from './status.ts'

/** Deeper than any object of ours, and far from where those who walk through one run out of stack. */
const maxDepth = 64

/** @throws RequestRefusal 400 for a body with objects and lists that lie too deep in one another */
export function expectShallow(body: unknown): void {
  let level = [body]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > maxDepth) throw badRequest(`the body is nested more than ${maxDepth} levels deep`)
    level = level.flatMap((value) =>
      typeof value === 'object' && value !== null && !ArrayBuffer.isView(value) ? Object.values(value) : [],
    )
  }
}
