import { nestsDeeper } from '#model/resource'
import { badRequest } from './status.ts'

/** Deeper than any object of ours, and far from where those who walk through one run out of stack. */
const maxDepth = 64

/** @throws RequestRefusal 400 for a body with objects and lists that lie too deep in one another */
export function expectShallow(body: unknown): void {
  if (nestsDeeper(body, maxDepth)) throw badRequest(`the body is nested more than ${maxDepth} levels deep`)
}
