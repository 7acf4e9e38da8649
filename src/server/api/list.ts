import { isFault } from '#base/errors'
import type { Kind, KindDefinition, Resource } from '#model/resource'
import type { Resources } from '#server/store'
import { continueToken, type ListOptions } from './list-options.ts'
import { RequestRefusal } from './status.ts'
import type { ListMeta } from './table.ts'

/** A list cannot go on: it says how to, for those who can live with a list of two moments. */
function expired(after: string): RequestRefusal {
  const message =
    'The provided continue parameter is too old to display a consistent list result. ' +
    'Start a new list without it, or go on with the continue of this answer: what follows is then as it is now, ' +
    'and what changed before its position since the list began is not seen.'
  return new RequestRefusal(410, 'Expired', message, { metadata: { continue: continueToken({ after }) } })
}

/** @throws RequestRefusal 504 when `wanted` is not there yet: a client that knows better asks again */
export function expectNotOlder(present: string, wanted: string | undefined): void {
  if (wanted === undefined || Number(wanted) <= Number(present)) return
  const message = `Too large resource version: ${wanted}, current: ${present}`
  throw new RequestRefusal(504, 'Timeout', message, {
    details: {
      causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version', field: '' }],
      retryAfterSeconds: 1,
    },
  })
}

/**
 * One part of a list, as all its parts stand at one revision, however much is written in between. That holds at
 * least for as long as the store keeps the changes since; later it may be 410, with a way to go on.
 * @throws RequestRefusal 410, 504; Fault STORE_REVISION_GONE
 */
export async function listPart(
  resources: Pick<Resources, 'scan'>,
  { kind }: KindDefinition<Kind>,
  namespace: string | undefined,
  { continuation, exact, limit, resourceVersion, selection }: ListOptions,
): Promise<{ objects: Resource[]; metadata: ListMeta }> {
  const at = continuation ? continuation.revision : exact ? resourceVersion : undefined
  const after = continuation?.after
  const inParts = limit !== Infinity
  const scan = await resources
    .scan(kind, { namespace, atRevision: at, after, inParts })
    .catch((error: unknown) => {
      if (after !== undefined && isFault(error, 'STORE_REVISION_GONE')) throw expired(after)
      throw error
    })
  if (!exact) expectNotOlder(scan.resourceVersion, resourceVersion)
  const objects: Resource[] = []
  for (const [index, scanned] of scan.objects.entries()) {
    const object = scanned.read()
    if (selection.matches(object)) objects.push(object)
    const remaining = scan.objects.length - index - 1
    if (objects.length < limit || remaining === 0) continue
    const next = continueToken({ revision: scan.resourceVersion, after: scanned.position })
    const metadata = {
      resourceVersion: scan.resourceVersion,
      continue: next,
      // How many of the rest are selected, nobody has counted.
      ...(selection.everything && { remainingItemCount: remaining }),
    }
    return { objects, metadata }
  }
  return { objects, metadata: { resourceVersion: scan.resourceVersion } }
}
