import { maxDepth, nestsTooDeep } from '#model/resource'
import { badRequest } from './status.ts'

/** @throws RequestRefusal 400 for a body with objects and lists that lie too deep in one another */
export function expectShallow(body: unknown): void {
  if (nestsTooDeep(body)) throw badRequest(`the body is nested more than ${maxDepth} levels deep`)
}
